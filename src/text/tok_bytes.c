/* The two ways vocabularies write bytes: GPT-2's printable characters and <0xXX>. */
#include "text/tok.h"

/* Bytes that are printable in Latin-1 stand for themselves, the other 68 for U+0100 and on. */
static bool itself(uint32_t c)
{
    return (c > 32 && c < 127) || (c > 160 && c < 173) || (c > 173 && c < 256);
}

uint32_t tok_byte_char(unsigned char byte)
{
    if (itself(byte)) return byte;
    if (byte <= 32) return 256u + byte;
    if (byte <= 160) return 256u + 33 + (byte - 127u);
    return 256u + 67; /* 173, the soft hyphen */
}

int tok_char_byte(uint32_t c)
{
    if (c < 256) return itself(c) ? (int)c : -1;
    if (c < 256 + 33) return (int)c - 256;
    if (c < 256 + 67) return (int)c - 256 - 33 + 127;
    return c == 256 + 67 ? 173 : -1;
}

static int hex(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

int tok_hex_byte(Span text)
{
    const char *p = text.data;
    if (text.size != 6 || p[0] != '<' || p[1] != '0' || p[2] != 'x' || p[5] != '>') return -1;
    int high = hex(p[3]), low = hex(p[4]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}
