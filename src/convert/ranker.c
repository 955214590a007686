/* Heads of rerankers: what stands behind the rows of a maker's ...ForSequenceClassification goes
 * under the names that GGUF files of rerankers carry: cls (a matrix and an activation), cls.norm,
 * cls.output (the labels). Readers of such files compute one head a family; folders that ask for
 * another are refused, and so are classifiers of more than one label, but for two called yes and
 * no.
 */
#include "convert/rules.h"

#include <stdio.h>
#include <string.h>

enum { POOLING_RANK = 4 };

static const char class_end[] = "ForSequenceClassification";

static void check_modern(Convert *c)
{
    Span pooling = conf_text(c, "classifier_pooling"), act = conf_text(c, "classifier_activation");
    if (!span_is(pooling, "mean"))
        plan_fail(c, BT_E_UNSUPPORTED,
                  "config.json: 'classifier_pooling' is not mean, which is all that a reranker of "
                  "ModernBERT can be in a GGUF file");
    else if (act.size && !span_is(act, "gelu"))
        plan_fail(c, BT_E_UNSUPPORTED, "config.json: 'classifier_activation' is not gelu");
}

static const TensorRule *rules_of(Convert *c)
{
    const char *arch = c->family->arch;
    if (strcmp(arch, "qwen3") == 0) return rules_score;
    if (strcmp(arch, "modern-bert") == 0) {
        check_modern(c);
        return rules_modern_rank;
    }
    if (strcmp(arch, "bert") != 0) return NULL;
    return strstr(c->family->models, " roberta ") ? rules_roberta_rank : rules_bert_rank;
}

/* Two labels must be called yes and no. */
static void put_labels(Convert *c)
{
    char key[96];
    JdocRef names = jdoc_get(c->config, 0, "id2label");
    if (jdoc_count(c->config, names) != 2) return;
    Span two[2] = {jdoc_text(c->config, jdoc_get(c->config, names, "0")),
                   jdoc_text(c->config, jdoc_get(c->config, names, "1"))};
    int yes = span_is(two[1], "yes");
    if (!span_is(two[yes], "yes") || !span_is(two[!yes], "no")) return;
    snprintf(key, sizeof key, "%s.classifier.output_labels", c->arch);
    gguf_put_spans(c->writer, key, two, 2);
    c->labels = 2;
}

void plan_ranker(Convert *c)
{
    if (plan_failed(c)) return;
    JdocRef classes = jdoc_get(c->config, 0, "architectures");
    Span class = jdoc_text(c->config, jdoc_at(c->config, classes, 0));
    if (!span_ends(class, class_end)) return;
    const TensorRule *rules = rules_of(c);
    if (plan_failed(c)) return;
    if (!rules) {
        plan_fail(
            c, BT_E_UNSUPPORTED,
            "config.json: a %.*s has a head of labels, and a GGUF file of %s has no place for "
            "one; those of BERT, RoBERTa, ModernBERT and Qwen3 have",
            (int)(class.size < 80 ? class.size : 80), class.data, c->arch);
        return;
    }
    c->tensors = rules;
    c->labels = 1;
    put_labels(c);
    put_int(c, "pooling_type", POOLING_RANK);
}

void plan_ranker_head(Convert *c)
{
    const ConvOut *head = NULL;
    for (size_t i = 0; i < c->n_outs; i++)
        if (strcmp(c->outs[i]->name, "cls.output.weight") == 0) head = c->outs[i];
    if (plan_failed(c) || !c->labels || !c->st) return;
    if (!head)
        plan_fail(c, BT_E_FORMAT, "the head of labels is missing; the folder is incomplete");
    else if (head->rows != 1 && head->rows != (uint64_t)c->labels)
        plan_fail(c, BT_E_UNSUPPORTED,
                  "its head gives %llu labels: this is a classifier; rerankers have one, or two "
                  "that config.json calls yes and no ('id2label')",
                  (unsigned long long)head->rows);
}
