/* The rules by name, and the passes over a text (see pretokenize.h).
 * Which name has which expression is a fact of the released vocabularies: the `pre_tokenizer` of
 * their tokenizer.json, and the names that GGUF converters write for them. */
#include "text/pretokenize.h"

#include <string.h>

#include "text/pretokenize_match.h"

#define COUNT(a)    (sizeof(a) / sizeof((a)[0]))
#define RANGES(a)   .ranges = (a), .n_ranges = COUNT(a)
#define ANY         SIZE_MAX
#define LETTER_MARK (UC_LETTER | UC_MARK)

/* \p{P} is not all that the older rules call punctuation. */
static const uint32_t falcon_signs[][2] = {{'$', '$'}, {'+', '+'}, {'<', '>'}, {'^', '^'},
                                           {'`', '`'}, {'|', '|'}, {'~', '~'}};
static const uint32_t default_signs[][2] = {{'$', '$'}, {'+', '+'}, {'<', '>'},
                                            {'^', '^'}, {'|', '|'}, {'~', '~'}};
static const uint32_t newline_signs[][2] = {{'\n', '\n'}, {'\r', '\r'}};
static const uint32_t ascii_signs[][2] = {{'!', '/'}, {':', '@'}, {'[', '`'}, {'{', '~'}};

/* BLOOM's list of what is no word. */
static const uint32_t bloom_stops[][2] = {
    {'(', ')'},       {'|', '|'},       {'.', '.'},       {',', ','},       {'!', '!'},
    {'?', '?'},       {0x2026, 0x2026}, {0x3002, 0x3002}, {0xFF0C, 0xFF0C}, {0x3001, 0x3001},
    {0x0964, 0x0964}, {0x06D4, 0x06D4}, {0x060C, 0x060C},
};

/* DeepSeek's lists: cased letters as of Unicode 12 without Georgian, punctuation, East Asian. */
static const uint32_t deepseek_letters[][2] = {
    {0x41, 0x5A},       {0x61, 0x7A},       {0xB5, 0xB5},       {0xC0, 0xD6},
    {0xD8, 0xF6},       {0xF8, 0x1BA},      {0x1BC, 0x1BF},     {0x1C4, 0x293},
    {0x295, 0x2AF},     {0x370, 0x373},     {0x376, 0x377},     {0x37B, 0x37D},
    {0x37F, 0x37F},     {0x386, 0x386},     {0x388, 0x38A},     {0x38C, 0x38C},
    {0x38E, 0x3A1},     {0x3A3, 0x3F5},     {0x3F7, 0x481},     {0x48A, 0x52F},
    {0x531, 0x556},     {0x10A0, 0x10C5},   {0x13A0, 0x13F5},   {0x13F8, 0x13FD},
    {0x1C90, 0x1CBA},   {0x1CBD, 0x1CBF},   {0x1D00, 0x1D2B},   {0x1D6B, 0x1D77},
    {0x1D79, 0x1D9A},   {0x1E00, 0x1F15},   {0x1F18, 0x1F1D},   {0x1F20, 0x1F45},
    {0x1F48, 0x1F4D},   {0x1F50, 0x1F57},   {0x1F59, 0x1F59},   {0x1F5B, 0x1F5B},
    {0x1F5D, 0x1F5D},   {0x1F5F, 0x1F7D},   {0x1F80, 0x1FB4},   {0x1FB6, 0x1FBC},
    {0x1FBE, 0x1FBE},   {0x1FC2, 0x1FC4},   {0x1FC6, 0x1FCC},   {0x1FD0, 0x1FD3},
    {0x1FD6, 0x1FDB},   {0x1FE0, 0x1FEC},   {0x1FF2, 0x1FF4},   {0x1FF6, 0x1FFC},
    {0x2102, 0x2102},   {0x2107, 0x2107},   {0x210A, 0x2113},   {0x2115, 0x2115},
    {0x2119, 0x211D},   {0x2124, 0x2124},   {0x2126, 0x2126},   {0x2128, 0x2128},
    {0x212A, 0x212D},   {0x212F, 0x2134},   {0x2139, 0x2139},   {0x213C, 0x213F},
    {0x2145, 0x2149},   {0x214E, 0x214E},   {0x2183, 0x2184},   {0x2C00, 0x2C7B},
    {0x2C7E, 0x2CE4},   {0x2CEB, 0x2CEE},   {0x2CF2, 0x2CF3},   {0xA640, 0xA66D},
    {0xA680, 0xA69B},   {0xA722, 0xA76F},   {0xA771, 0xA787},   {0xA78B, 0xA78E},
    {0xAB70, 0xABBF},   {0xFB00, 0xFB06},   {0xFB13, 0xFB17},   {0xFF21, 0xFF3A},
    {0xFF41, 0xFF5A},   {0x10400, 0x1044F}, {0x104B0, 0x104D3}, {0x104D8, 0x104FB},
    {0x10C80, 0x10CB2}, {0x10CC0, 0x10CF2}, {0x118A0, 0x118DF}, {0x1E900, 0x1E943},
};
static const uint32_t deepseek_punct[][2] = {{0x21, 0x2F},     {0x3A, 0x7E},     {0xFF01, 0xFF0F},
                                             {0xFF1A, 0xFF5E}, {0x2018, 0x201F}, {0x3000, 0x3002}};
static const uint32_t deepseek_east[][2] = {{0x4E00, 0x9FA5}, {0x800, 0x4E00}, {0xAC00, 0xD7FF}};
static const uint32_t deepseek3_east[][2] = {{0x4E00, 0x9FA5}, {0x3040, 0x30FF}};
static const uint32_t youtu_korean[][2] = {{0xAC00, 0xD7A3}, {0x3131, 0x318E}};
static const uint32_t youtu_punct[][2] = {{0xFF01, 0xFF01}, {0x2026, 0x2026}, {0x201C, 0x201D},
                                          {0x2018, 0x2019}, {0x2014, 0x2014}, {0xFF1A, 0xFF1B},
                                          {0xFF0C, 0xFF0C}, {0x3001, 0x303F}, {0xFE30, 0xFE4F}};
static const uint32_t youtu_bopomofo[][2] = {{0x3105, 0x312F}};
static const uint32_t afmoe_asian[][2] = {
    {0x4E00, 0x9FFF}, {0x3400, 0x4DBF}, {0xF900, 0xFAFF}, {0x3040, 0x30FF}, {0xFF65, 0xFF9F},
    {0x2F00, 0x2FDF}, {0x0E00, 0x0E7F}, {0x0E80, 0x0EFF}, {0x1780, 0x17FF}, {0x1000, 0x109F},
    {0xAA60, 0xAA7F}, {0xA9E0, 0xA9FF}, {0xAC00, 0xD7AF}, {0x1100, 0x11FF}};

/* \p{Pc}, which \w has besides letters, marks and numbers. */
static const uint32_t connectors[][2] = {{'_', '_'},       {0x203F, 0x2040}, {0x2054, 0x2054},
                                         {0xFE33, 0xFE34}, {0xFE4D, 0xFE4F}, {0xFF3F, 0xFF3F}};

static const PreStyle falcon_punct = {.word = UC_PUNCT, RANGES(falcon_signs)};
static const PreStyle default_punct = {.word = UC_PUNCT, RANGES(default_signs)};
static const PreStyle one_number = {.word = UC_NUMBER, .max = 1};
static const PreStyle three_numbers = {.word = UC_NUMBER, .max = 3};
static const PreStyle numbers = {.word = UC_NUMBER};
static const PreStyle one_punct = {.word = UC_PUNCT, RANGES(ascii_signs), .max = 1};
static const PreStyle one_newline = {RANGES(newline_signs), .max = 1};
static const PreStyle bloom_words = {
    .word = UC_SPACE, RANGES(bloom_stops), .outside = true, .literal_space = true};
static const PreStyle ds_letters = {RANGES(deepseek_letters), .space = true};
static const PreStyle ds_punct = {RANGES(deepseek_punct), .space = true};
static const PreStyle ds_east = {RANGES(deepseek_east)};
static const PreStyle dsc_letters = {.word = UC_LETTER, .space = true};
static const PreStyle dsc_punct = {.word = UC_PUNCT, .space = true};
static const PreStyle ds3_east = {RANGES(deepseek3_east)};
static const PreStyle yt_korean = {RANGES(youtu_korean)};
static const PreStyle yt_punct = {RANGES(youtu_punct)};
static const PreStyle yt_bopomofo = {RANGES(youtu_bopomofo)};
static const PreStyle af_asian = {RANGES(afmoe_asian)};
static const PreStyle thousands = {0};
static const PreStyle thousands_alone = {.word = LETTER_MARK | UC_NUMBER, RANGES(connectors)};

#define CL100K(count)                                                                              \
    .word = UC_LETTER, .no_prefix = UC_LETTER | UC_NUMBER, .digits = (count),                      \
    .contraction = PRE_CONTRACT_ANY_CASE, .tail = "\r\n", .tail_max = ANY
static const PreStyle llama3 = {CL100K(3)};
static const PreStyle qwen2 = {CL100K(1)};
static const PreStyle minicpm5 = {CL100K(ANY)};
static const PreStyle jais2 = {CL100K(3), .cascade = true};
static const PreStyle qwen35 = {.word = LETTER_MARK,
                                .no_prefix = UC_LETTER | UC_NUMBER,
                                .digits = 1,
                                .contraction = PRE_CONTRACT_ANY_CASE,
                                .tail = "\r\n",
                                .tail_max = ANY};
static const PreStyle seed_coder = {.word = UC_LETTER,
                                    .no_prefix = UC_LETTER | UC_NUMBER,
                                    .digits = 1,
                                    .contraction = PRE_CONTRACT_ANY_CASE};
static const PreStyle exaone_moe = {.word = UC_LETTER,
                                    .no_prefix = UC_LETTER | UC_NUMBER,
                                    .digits = 1,
                                    .contraction = PRE_CONTRACT_ANY_CASE,
                                    .tail = "\r\n/",
                                    .tail_max = 1,
                                    .phrases = true};
static const PreStyle deepseek3 = {.word = LETTER_MARK,
                                   .no_prefix = UC_LETTER | UC_PUNCT | UC_SYMBOL,
                                   .tail = "\r\n",
                                   .tail_max = ANY};
static const PreStyle gpt4o = {
    .digits = 3, .contraction = PRE_CONTRACT_ANY_CASE, .tail = "\r\n/", .tail_max = ANY};
static const PreStyle tekken = {.digits = 1, .tail = "\r\n/", .tail_max = ANY};
static const PreStyle youtu = {
    .digits = 1, .contraction = PRE_CONTRACT_ANY_CASE, .tail = "\r\n/", .tail_max = ANY};
static const PreStyle kimi = {.digits = 3,
                              .contraction = PRE_CONTRACT_ANY_CASE,
                              .tail = "\r\n",
                              .tail_max = ANY,
                              .without = UC_HAN};

static const PreRule rules[] = {
    {" default ",
     .pass = {{pre_set, &default_punct}, {pre_gpt2}, {pre_set, &numbers}, {pre_ascii3}}},
    {" llama3 llama-v3 llama-bpe falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano ",
     true,
     true,
     {{pre_gpt4, &llama3}}},
    {" dbrx smaug-bpe glm4 chatglm-bpe ", .pass = {{pre_gpt4, &llama3}}},
    {" jais-2 ", .pass = {{pre_gpt4, &jais2}}},
    {" minicpm5 ", true, .pass = {{pre_set, &three_numbers}, {pre_gpt4, &minicpm5}}},
    {" qwen2 stablelm2 deepseek-r1-qwen kormo f2llmv2 megrez hunyuan solar-open grok-2 bailingmoe "
     "bailingmoe2 llada-moe ",
     .pass = {{pre_gpt4, &qwen2}}},
    {" qwen35 ", .pass = {{pre_gpt4, &qwen35}}},
    {" seed-coder ", .pass = {{pre_gpt4, &seed_coder}}},
    {" exaone-moe ", .pass = {{pre_gpt4, &exaone_moe}}},
    {" gpt-2 phi-2 jina-es jina-de gigachat jina-v2-es jina-v2-de a.x-4.0 mellum modern-bert "
     "jina-v1-en jina-v2-code roberta-bpe exaone4 mpt olmo jais trillion granite-docling gpt-neox ",
     .pass = {{pre_gpt2}}},
    {" starcoder refact command-r smollm codeshell exaone minerva-7b mellum2 ",
     .pass = {{pre_set, &one_number}, {pre_gpt2}}},
    {" falcon ", .pass = {{pre_set, &falcon_punct}, {pre_gpt2}, {pre_ascii3}}},
    {" deepseek-llm ", .pass = {{pre_set, &one_newline},
                                {pre_set, &ds_letters},
                                {pre_set, &ds_punct},
                                {pre_trailing},
                                {pre_set, &ds_east},
                                {pre_set, &numbers}}},
    {" deepseek-coder ", .pass = {{pre_set, &one_newline},
                                  {pre_set, &dsc_letters},
                                  {pre_set, &dsc_punct},
                                  {pre_set, &ds_east},
                                  {pre_set, &one_number}}},
    {" deepseek-v3 hunyuan-dense joyai-llm ",
     .pass = {{pre_set, &three_numbers}, {pre_set, &ds3_east}, {pre_deepseek3, &deepseek3}}},
    {" youtu ", true,
     .pass = {{pre_set, &yt_korean},
              {pre_set, &yt_punct},
              {pre_set, &yt_bopomofo},
              {pre_set, &ds3_east},
              {pre_cased, &youtu}}},
    {" afmoe ",
     .pass = {{pre_thousands, &thousands}, {pre_set, &af_asian}, {pre_deepseek3, &deepseek3}}},
    {" gpt-4o llama4 kanana2 talkie minimax-m2 o200k gpt-oss ", .pass = {{pre_cased, &gpt4o}}},
    {" granite-embed-multi-97m ", true, .pass = {{pre_cased, &gpt4o}}},
    {" tiny_aya ", .pass = {{pre_thousands, &thousands_alone}, {pre_cased, &gpt4o}}},
    {" tekken ", true, true, {{pre_cased, &tekken}}},
    {" kimi-k2 ", .pass = {{pre_cased, &kimi}}},
    {" poro-chat bloom gpt3-finnish ", .pass = {{pre_set, &bloom_words}}},
    {" viking ", .pass = {{pre_set, &bloom_words}, {pre_set, &one_number}}},
    {" superbpe ", .pass = {{pre_set, &numbers}, {pre_thousands, &thousands}}},
    {" chameleon ",
     false,
     true,
     {{pre_indent}, {pre_set, &one_number}, {pre_set, &one_punct}, {pre_gpt2}}},
    {" gemma4 sarvam-moe granite-embed-multi-311m ", .pass = {{pre_not_newline}}},
};

const PreRule *pre_find(Span name)
{
    if (name.size == 0 || memchr(name.data, ' ', name.size)) return NULL;
    for (size_t i = 0; i < COUNT(rules); i++) {
        const char *at = rules[i].names + 1;
        while (*at) {
            size_t length = strcspn(at, " ");
            if (length == name.size && memcmp(at, name.data, length) == 0) return &rules[i];
            at += length + 1;
        }
    }
    return NULL;
}

typedef struct Split {
    const PreRule *rule;
    PreSink sink;
    void *user;
} Split;

/* Recursion is as deep as the rule has passes. */
static bool split(const Split *s, int pass, const char *p, size_t n)
{
    const PrePass *now = &s->rule->pass[pass];
    if (n == 0) return true;
    if (pass == PRE_PASSES || !now->match) return s->sink(s->user, p, n);
    PreText x = {.p = p, .n = n};
    size_t gap = 0, at = 0;
    while (at < n) {
        size_t length = now->match(&x, at, now->style);
        if (!length) {
            at += pre_char(&x, at).length;
            continue;
        }
        if (!split(s, pass + 1, p + gap, at - gap)) return false;
        if (!split(s, pass + 1, p + at, length)) return false;
        at += length;
        gap = at;
    }
    return split(s, pass + 1, p + gap, n - gap);
}

bool pre_split(const PreRule *rule, const char *text, size_t n, PreSink sink, void *user)
{
    Split s = {rule, sink, user};
    return split(&s, 0, text, n);
}
