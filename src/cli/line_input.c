/* Line editing with libedit, or plain lines where it is missing (see line_input.h). libedit's own
 * signal handling stays off: it would send signals, which the sandbox denies. */
#include "cli/line_input.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wchar.h>

#include "base/buf.h"
#include "base/mem.h"
#include "cli/interrupt.h"

#ifdef BANTAM_LIBEDIT
#include <histedit.h>
#endif

struct LineInput {
    const char *prompt;
    Buf line;
#ifdef BANTAM_LIBEDIT
    EditLine *edit;
    History *history;
    FILE *err; /* libedit's own stream on standard error */
#endif
};

#ifdef BANTAM_LIBEDIT

static int get_character(EditLine *edit, wchar_t *out)
{
    mbstate_t state = {0};
    (void)edit;
    for (int i = 0; i < 4; i++) {
        char byte;
        int n = interrupt_read(&byte, 1);
        if (n <= 0) return n;
        size_t done = mbrtowc(out, &byte, 1, &state);
        if (done == (size_t)-2) continue;
        if (done == (size_t)-1) break;
        return 1;
    }
    *out = L'?'; /* no character of this locale */
    return 1;
}

static char *get_prompt(EditLine *edit)
{
    void *data = NULL;
    el_get(edit, EL_CLIENTDATA, &data);
    LineInput *input = data;
    input->line.size = 0;
    buf_text(&input->line, input->prompt);
    return input->line.data;
}

LineInput *line_open(void)
{
    HistEvent event;
    LineInput *input = mem_zalloc(1, sizeof *input);
    if (!input) return NULL;
    input->prompt = "";
    input->err = fdopen(dup(STDERR_FILENO), "w");
    input->history = history_init();
    input->edit = input->err ? el_init("bantam", stdin, input->err, input->err) : NULL;
    if (!input->edit || !input->history) {
        line_close(&input);
        return NULL;
    }
    history(input->history, &event, H_SETSIZE, 1000);
    history(input->history, &event, H_SETUNIQUE, 1);
    el_set(input->edit, EL_CLIENTDATA, input);
    el_set(input->edit, EL_PROMPT, get_prompt);
    el_set(input->edit, EL_EDITOR, "emacs");
    el_set(input->edit, EL_SIGNAL, 0);
    el_set(input->edit, EL_HIST, history, input->history);
    el_set(input->edit, EL_GETCFN, get_character);
    el_set(input->edit, EL_BIND, "^R", "em-inc-search-prev", NULL);
    el_source(input->edit, NULL); /* ~/.editrc, if any */
    return input;
}

LineResult line_read(LineInput *input, const char *prompt, const char **line)
{
    int n = 0;
    input->prompt = prompt;
    el_resize(input->edit);
    const char *text = el_gets(input->edit, &n);
    fflush(input->err);
    if (!text || n <= 0) return interrupt_seen() ? LINE_INTERRUPTED : LINE_END;
    if (text[n - 1] == '\n') n--;
    buf_clear(&input->line);
    buf_add(&input->line, text, (size_t)n);
    if (input->line.failed) return LINE_END;
    *line = input->line.data;
    return LINE_TEXT;
}

void line_redraw(LineInput *input)
{
    el_set(input->edit, EL_REFRESH);
}

void line_remember(LineInput *input, const char *line)
{
    HistEvent event;
    if (*line) history(input->history, &event, H_ENTER, line);
}

void line_close(LineInput **pointer)
{
    LineInput *input = *pointer;
    *pointer = NULL;
    if (!input) return;
    if (input->edit) el_end(input->edit);
    if (input->history) history_end(input->history);
    if (input->err) fclose(input->err);
    buf_close(&input->line);
    mem_free(input);
}

#else

LineInput *line_open(void)
{
    return mem_zalloc(1, sizeof(LineInput));
}

LineResult line_read(LineInput *input, const char *prompt, const char **line)
{
    char byte;
    int n;
    input->prompt = prompt;
    fputs(prompt, stderr);
    fflush(stderr);
    buf_clear(&input->line);
    while ((n = interrupt_read(&byte, 1)) > 0 && byte != '\n') buf_char(&input->line, byte);
    if (n < 0) return LINE_INTERRUPTED;
    if (n == 0 && input->line.size == 0) return LINE_END;
    if (!input->line.data) buf_add(&input->line, "", 0);
    if (input->line.failed) return LINE_END;
    *line = input->line.data;
    return LINE_TEXT;
}

void line_redraw(LineInput *input)
{
    fprintf(stderr, "%s%.*s", input->prompt, (int)input->line.size,
            input->line.data ? input->line.data : "");
    fflush(stderr);
}

void line_remember(LineInput *input, const char *line)
{
    (void)input;
    (void)line;
}

void line_close(LineInput **pointer)
{
    if (!*pointer) return;
    buf_close(&(*pointer)->line);
    mem_free(*pointer);
    *pointer = NULL;
}

#endif
