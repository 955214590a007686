/* Joining the prompt (see prompt.h). A NUL byte is refused there: what holds one is no text, and
 * a message would end at it. */
#include "cli/prompt.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/os.h"

int read_text(const char *path, bool plain, Buf *out)
{
    bool input = strcmp(path, "-") == 0;
    const char *name = input ? "standard input" : path;
    size_t start = out->size;
    char part[65536];
    int fd = input ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) return cli_fail("%s: %s", name, os_why(errno));
    ssize_t n;
    while ((n = read(fd, part, sizeof part)) != 0 && out->size - start <= PROMPT_MOST) {
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) break;
        buf_add(out, part, (size_t)n);
    }
    int error = n < 0 ? errno : 0;
    if (!input) close(fd);
    if (error) return cli_fail("%s: %s", name, os_why(error));
    if (n > 0) return cli_fail("%s: over %u bytes; give a part of it", name, PROMPT_MOST);
    if (out->failed) return cli_fail("%s: not enough memory to read it", name);
    const char *nul =
        plain && out->size > start ? memchr(out->data + start, 0, out->size - start) : NULL;
    if (nul)
        return cli_fail("%s: a NUL byte at offset %zu: this is no text", name,
                        (size_t)(nul - out->data) - start);
    return CLI_GOOD;
}

bool stdin_given(void)
{
    struct stat at;
    return fstat(STDIN_FILENO, &at) == 0 &&
           (S_ISREG(at.st_mode) || S_ISFIFO(at.st_mode) || S_ISSOCK(at.st_mode));
}

static int join(Buf *out, const char *path)
{
    Buf part = {0};
    int code = read_text(path, true, &part);
    if (code == CLI_GOOD && part.size) {
        if (out->size) {
            while (out->size && out->data[out->size - 1] == '\n') out->data[--out->size] = '\0';
            buf_text(out, "\n\n");
        }
        buf_add(out, part.data, part.size);
    }
    buf_close(&part);
    return code;
}

int prompt_join(const Cli *cli, Buf *out)
{
    const char *text = opts_text(&cli->opts, OPT_PROMPT);
    const OptValue *files = &cli->opts.value[OPT_FILES];
    bool input_read = false;
    if (text) buf_text(out, text);
    for (size_t i = 0; i < files->n; i++) {
        input_read |= strcmp(files->list[i], "-") == 0;
        int code = join(out, files->list[i]);
        if (code != CLI_GOOD) return code;
    }
    if (!input_read && stdin_given()) {
        int code = join(out, "-");
        if (code != CLI_GOOD) return code;
    }
    return out->failed ? cli_fail("not enough memory for the prompt") : CLI_GOOD;
}
