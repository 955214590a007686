/* JSON on standard output. */
#ifndef CLI_JSON_H
#define CLI_JSON_H

#include <jansson.h>
#include <stddef.h>

/* Prints and frees `root` (NULL: there was no memory). Gives the exit code. */
int json_print(json_t *root);
/* The same on one line, with numbers that give float32 back as it was. */
int json_print_numbers(json_t *root);
/* A string of any bytes: what is no UTF-8 becomes U+FFFD. */
json_t *json_bytes(const char *text, size_t n);
json_t *json_text(const char *text); /* NULL gives null */

#endif
