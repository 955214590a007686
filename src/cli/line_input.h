/* Lines from the keyboard, with editing and a history that lives in memory only. */
#ifndef CLI_LINE_INPUT_H
#define CLI_LINE_INPUT_H

typedef struct LineInput LineInput;

typedef enum LineResult { LINE_TEXT, LINE_END, LINE_INTERRUPTED } LineResult;

/* Reads the terminal's description: call before the sandbox. NULL: no memory. */
LineInput *line_open(void);
/* *line (without its newline) is owned by the object until the next call. The prompt goes to
 * standard error. */
LineResult line_read(LineInput *input, const char *prompt, const char **line);
/* Shows prompt and line anew, where something else was printed meanwhile. */
void line_redraw(LineInput *input);
void line_remember(LineInput *input, const char *line);
void line_close(LineInput **input);

#endif
