/* Opens a model, asks it one question in its own chat form, and prints the answer as it comes.
 *
 *   cc stream.c $(pkg-config --cflags --libs bantam) -o stream
 *   ./stream MODEL.gguf "Why is the sky blue?"
 *
 * One cleanup label: every close accepts what was never opened. */
#include <bantam/bantam.h>
#include <stdio.h>

enum { MOST_PROMPT = 4096 };

static bt_status answer(bt_session *session, bt_sampler *sampler, bt_text *text,
                        const bt_model *model, bt_error *err)
{
    const char *piece;
    size_t length;
    while (bt_session_length(session, 0) < bt_session_context(session)) {
        bt_token id = bt_sampler_pick(sampler, bt_session_logits(session, -1));
        if (bt_model_token_ends(model, id)) break;
        bt_status status = bt_text_next(text, id, &piece, &length);
        if (status == BT_OK) {
            fwrite(piece, 1, length, stdout);
            fflush(stdout);
            status = bt_session_feed(session, 0, &id, 1, err);
        }
        if (status != BT_OK) return status;
    }
    bt_status status = bt_text_end(text, &piece, &length);
    if (status == BT_OK) printf("%.*s\n", (int)length, piece);
    return status;
}

int main(int argc, char **argv)
{
    bt_model *model = NULL;
    bt_session *session = NULL;
    bt_sampler *sampler = NULL;
    bt_text *text = NULL;
    bt_token prompt[MOST_PROMPT];
    bt_error err = {0};

    if (argc != 3) return fprintf(stderr, "usage: %s MODEL.gguf QUESTION\n", argv[0]), 2;
    bt_message question = {.role = "user", .content = argv[2]};
    bt_status status = bt_model_open(argv[1], NULL, &model, &err);
    if (status == BT_OK) status = bt_session_open(model, NULL, &session, &err);
    if (status == BT_OK) status = bt_sampler_open(model, NULL, &sampler, &err);
    if (status == BT_OK) status = bt_text_open(model, false, &text, &err);
    if (status != BT_OK) goto done;

    int64_t n = bt_chat_tokenize(model, NULL, &question, 1, true, prompt, MOST_PROMPT, &err);
    status = n < 0 ? (bt_status)n : n > MOST_PROMPT ? BT_E_LIMIT : BT_OK;
    if (status == BT_OK) status = bt_session_feed(session, 0, prompt, (size_t)n, &err);
    if (status == BT_OK) status = answer(session, sampler, text, model, &err);
done:
    if (status != BT_OK) fprintf(stderr, "%s\n", err.text[0] ? err.text : bt_status_text(status));
    bt_text_close(&text);
    bt_sampler_close(&sampler);
    bt_session_close(&session);
    bt_model_close(&model);
    return status == BT_OK ? 0 : 1;
}
