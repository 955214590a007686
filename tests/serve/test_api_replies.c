/* Answers in one piece, as each API's published reference shows them: whole chats, vectors, ranks,
 * tokens, lists of models. In expected texts single quotes stand for double ones. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "api_case.h"
#include "base/mem.h"
#include "serve/json_out.h"

#define HI "'messages':[{'role':'user','content':'hi'}]"

static const CaseEvent words[] = {
    {BT_ANSWER_REASONING, -1, "hm"}, {BT_ANSWER_TEXT, -1, "a"}, {BT_ANSWER_TEXT, -1, "b"}};
static const CaseEvent calls[] = {
    {BT_ANSWER_CALL, 0, "f"},       {BT_ANSWER_ARGUMENTS, 0, "{\"k\":"},
    {BT_ANSWER_ARGUMENTS, 0, "1}"}, {BT_ANSWER_CALL_END, 0, NULL},
    {BT_ANSWER_CALL, 1, "g"},       {BT_ANSWER_ARGUMENTS, 1, "{"},
    {BT_ANSWER_CALL_VOID, 1, NULL}};

#define USAGE                                                                                      \
    "'usage':{'prompt_tokens':9,'completion_tokens':5,'total_tokens':14,'prompt_tokens_details':{" \
    "'cached_tokens':4},'completion_tokens_details':{'reasoning_tokens':2}}}"
#define CHAT_HEAD                                                                                  \
    "{'id':'chatcmpl-0000000000000001','object':'chat.completion','created':1700000000,'model':'"  \
    "m',"                                                                                          \
    "'system_fingerprint':'bantam-0.1.0','choices':["

static void chats(void **state)
{
    (void)state;
    case_sends("/v1/chat/completions", "{" HI "}", words, 3, API_FINISH_STOP, NULL,
               CHAT_HEAD
               "{'index':0,'message':{'role':'assistant','content':'ab','refusal':null,"
               "'reasoning_content':'hm'},'logprobs':null,'finish_reason':'stop'}]," USAGE);
    case_sends("/v1/chat/completions", "{" HI "}", calls, 7, API_FINISH_STOP, NULL,
               CHAT_HEAD
               "{'index':0,'message':{'role':'assistant','content':null,'refusal':null,"
               "'tool_calls':[{'id':'call_0','type':'function','function':{'name':'f','arguments':"
               "'{\\'k\\':1}'}}]},'logprobs':null,'finish_reason':'tool_calls'}]," USAGE);
    case_sends("/v1/completions", "{'prompt':['p','q']}", words + 1, 2, API_FINISH_LENGTH, NULL,
               "{'id':'cmpl-0000000000000001','object':'text_completion','created':1700000000,"
               "'model':'m','system_fingerprint':'bantam-0.1.0','choices':[{'text':'ab','index':0,"
               "'logprobs':null,'finish_reason':'length'},{'text':'ab','index':1,'logprobs':null,"
               "'finish_reason':'length'}]," USAGE);
    case_sends(
        "/v1/messages", "{'max_tokens':9,'thinking':{'type':'enabled','budget_tokens':9}," HI "}",
        words, 3, API_FINISH_STOP, NULL,
        "{'id':'msg_0000000000000001','type':'message','role':'assistant','model':'m',"
        "'content':[{'type':'thinking','thinking':'hm','signature':''},{'type':'text','text':"
        "'ab'}],'stop_reason':'end_turn','stop_sequence':null,'usage':{'input_tokens':5,"
        "'cache_creation_input_tokens':0,'cache_read_input_tokens':4,'output_tokens':5}}");
    case_sends("/v1/messages", "{'max_tokens':9," HI "}", calls, 7, API_FINISH_STOP, NULL,
               "{'id':'msg_0000000000000001','type':'message','role':'assistant','model':'m',"
               "'content':[{'type':'tool_use','id':'call_0','name':'f','input':{'k':1}}],"
               "'stop_reason':'tool_use','stop_sequence':null,'usage':{'input_tokens':5,"
               "'cache_creation_input_tokens':0,'cache_read_input_tokens':4,'output_tokens':5}}");
    case_sends("/api/chat", "{'model':'m','stream':false," HI "}", words, 3, API_FINISH_STOP, NULL,
               "{'model':'m','created_at':'2023-11-14T22:13:20.000000000Z','message':{'role':"
               "'assistant','content':'ab','thinking':'hm'},'done':true,'done_reason':'stop',"
               "'total_duration':8000000,'load_duration':3000,'prompt_eval_count':9,"
               "'prompt_eval_duration':2000000,'eval_count':5,'eval_duration':5000000}");
}

static void responses(void **state)
{
    (void)state;
    Buf out = {0};
    case_play("/v1/responses", "{'input':'x','metadata':{'k':'v'},'temperature':0.5}", words, 3,
              API_FINISH_STOP, NULL, &out);
    char *head = case_quotes(
        "{'id':'resp_030000000000000001','object':'response','created_at':1700000000,'status':"
        "'completed','background':false,'error':null,'incomplete_details':null,'model':'m','output'"
        ":"
        "[{'id':'rs_000000000000000100','type':'reasoning','status':'completed','summary':[],"
        "'content':[{'type':'reasoning_text','text':'hm'}]},{'id':'msg_000000000000000101','type':"
        "'message','status':'completed','role':'assistant','content':[{'type':'output_text',"
        "'annotations':[],'logprobs':[],'text':'ab'}]}],'instructions':null,");
    assert_memory_equal(out.data, head, strlen(head));
    assert_non_null(strstr(out.data, "\"metadata\":{\"k\":\"v\"}"));
    assert_non_null(strstr(out.data, "\"temperature\":0.5,"));
    mem_free(head);
    buf_close(&out);
}

static void is(Buf *out, const char *expected)
{
    char *wanted = case_quotes(expected);
    assert_false(out->failed);
    assert_string_equal(out->data, wanted);
    mem_free(wanted);
    buf_close(out);
}

static void vectors(void **state)
{
    (void)state;
    static const float rows[] = {1, -0.5f, 0.1f, 3};
    static const ApiUsage usage = {.prompt = 7};
    ApiError err;
    Buf out = {0};
    ApiCall *call = case_parse("/v1/embeddings", "{'input':['a','b']}", NULL, &err);
    api_reply_embeddings(call, &case_info, rows, 2, 2, &usage, &out);
    is(&out, "{'object':'list','data':[{'object':'embedding','index':0,'embedding':[1,-0.5]},{"
             "'object':'embedding','index':1,'embedding':[0.100000001,3]}],'model':'m','usage':{"
             "'prompt_tokens':7,'total_tokens':7}}");
    api_call_close(&call);
    call = case_parse("/v1/embeddings", "{'input':'a','encoding_format':'base64'}", NULL, &err);
    api_reply_embeddings(call, &case_info, rows, 1, 2, &usage, &out);
    is(&out,
       "{'object':'list','data':[{'object':'embedding','index':0,'embedding':'AACAPwAAAL8='}],"
       "'model':'m','usage':{'prompt_tokens':7,'total_tokens':7}}");
    api_call_close(&call);
    call = case_parse("/api/embed", "{'model':'m','input':['a']}", NULL, &err);
    api_reply_embeddings(call, &case_info, rows, 1, 2, &usage, &out);
    is(&out, "{'model':'m','embeddings':[[1,-0.5]],'total_duration':0,'load_duration':0,"
             "'prompt_eval_count':7}");
    api_call_close(&call);
    call = case_parse("/api/embeddings", "{'model':'m','prompt':'a'}", NULL, &err);
    api_reply_embeddings(call, &case_info, rows, 1, 2, &usage, &out);
    is(&out, "{'embedding':[1,-0.5]}");
    api_call_close(&call);
}

static void ranks(void **state)
{
    (void)state;
    static const float scores[] = {0.25f, 2, -1};
    static const ApiUsage usage = {.prompt = 7};
    ApiError err;
    Buf out = {0};
    ApiCall *call = case_parse(
        "/v1/rerank", "{'query':'q','documents':['a','b','c'],'top_n':2,'return_documents':true}",
        NULL, &err);
    assert_int_equal(api_reply_rerank(call, &case_info, scores, &usage, &out), BT_OK);
    is(&out, "{'model':'m','object':'list','results':[{'index':1,'relevance_score':2,'document':{"
             "'text':'b'}},{'index':0,'relevance_score':0.25,'document':{'text':'a'}}],'usage':{"
             "'prompt_tokens':7,'total_tokens':7}}");
    api_call_close(&call);
}

static void tokens(void **state)
{
    (void)state;
    static const bt_token ids[] = {5, 6};
    static const ApiText pieces[] = {{"a", 1}, {"\xc3", 1}};
    ApiError err;
    Buf out = {0};
    ApiCall *call = case_parse("/tokenize", "{'content':'x'}", NULL, &err);
    api_reply_tokens(call, ids, NULL, 2, &out);
    is(&out, "{'tokens':[5,6]}");
    api_call_close(&call);
    call = case_parse("/tokenize", "{'content':'x','with_pieces':true}", NULL, &err);
    api_reply_tokens(call, ids, pieces, 2, &out);
    is(&out, "{'tokens':[{'id':5,'piece':'a'},{'id':6,'piece':[195]}]}");
    api_call_close(&call);
    call = case_parse("/detokenize", "{'tokens':[5]}", NULL, &err);
    api_reply_text(call, "a\n", 2, &out);
    is(&out, "{'content':'a\\n'}");
    api_call_close(&call);
    call = case_parse("/apply-template", "{" HI "}", NULL, &err);
    api_reply_text(call, "p", 1, &out);
    is(&out, "{'prompt':'p'}");
    api_call_close(&call);
    call = case_parse("/v1/messages/count_tokens", "{" HI "}", NULL, &err);
    api_reply_count(call, 12, &out);
    is(&out, "{'input_tokens':12}");
    api_call_close(&call);
}

static void acknowledgements(void **state)
{
    (void)state;
    static const struct {
        const char *path, *body, *expected;
    } cases[] = {
        {"/api/generate", "{'model':'m','stream':false}",
         "{'model':'m','created_at':'2023-11-14T22:13:20.000000000Z','response':'','done':true,"
         "'done_reason':'load'}"},
        {"/api/chat", "{'model':'m','keep_alive':0}",
         "{'model':'m','created_at':'2023-11-14T22:13:20.000000000Z','message':{'role':'assistant',"
         "'content':''},'done':true,'done_reason':'unload'}\n"},
        {"GET /api/version", "", "{'version':'" API_OLLAMA_VERSION "'}"},
        {"DELETE /v1/responses/resp_1", "", "{'id':'resp_1','object':'response','deleted':true}"},
        {"/api/create", "{'model':'m','from':'x'}", "{'status':'success'}\n"},
        {"/api/embed", "{'model':'m','input':[]}", "{'model':'m','embeddings':[]}"},
        {"GET /", "", "Bantam is running"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ApiError err;
        Buf out = {0};
        ApiCall *call = case_parse(cases[i].path, cases[i].body, NULL, &err);
        assert_non_null(call);
        api_reply_simple(call, &case_info, &out);
        is(&out, cases[i].expected);
        api_call_close(&call);
    }
}

static void remembered_items(void **state)
{
    (void)state;
    Buf out = {0};
    char *messages = case_quotes(
        "[{'role':'user','content':'a'},{'role':'assistant','content':null,'reasoning_content':'r',"
        "'tool_calls':[{'id':'c','type':'function','function':{'name':'f','arguments':'{}'}}]},{"
        "'role':'tool','content':'4','tool_call_id':'c'}]");
    api_reply_items(messages, &out);
    is(&out, "{'object':'list','data':[{'id':'msg_0','type':'message','status':'completed','role':"
             "'user','content':[{'type':'input_text','text':'a'}]},{'id':'rs_1','type':'reasoning',"
             "'summary':[],'content':[{'type':'reasoning_text','text':'r'}]},{'id':'fc_2','type':"
             "'function_call','call_id':'c','name':'f','arguments':'{}'},{'id':'fco_3','type':"
             "'function_call_output','call_id':'c','output':'4'}],'has_more':false}");
    mem_free(messages);
}

static void catalogues(void **state)
{
    (void)state;
    static const char *const aliases[] = {"default"};
    static const ApiModel model = {.name = "m:1",
                                   .aliases = aliases,
                                   .n_aliases = 1,
                                   .architecture = "qwen3",
                                   .quantization = "Q4_K_M",
                                   .digest = "ab",
                                   .size = 10,
                                   .memory = 20,
                                   .n_params = 494030000,
                                   .modified = 1700000000,
                                   .expires = 1700000300,
                                   .n_ctx_train = 4096,
                                   .n_ctx = 2048,
                                   .n_embd = 64,
                                   .n_layers = 2,
                                   .n_slots = 4,
                                   .tools = true,
                                   .thinking = true,
                                   .loaded = true,
                                   .template_text = "{{x}}"};
#define DETAILS                                                                                    \
    "'details':{'parent_model':'','format':'gguf','family':'qwen3','families':['qwen3'],"          \
    "'parameter_size':'494.03M','quantization_level':'Q4_K_M'}"
    static const struct {
        const char *method, *path;
        bool anthropic;
        const char *expected;
    } cases[] = {
        {"GET", "/v1/models", false,
         "{'object':'list','data':[{'id':'m:1','object':'model','created':1700000000,'owned_by':"
         "'bantam','aliases':['default'],'context_length':2048,'loaded':true}]}"},
        {"GET", "/v1/models/m:1", false,
         "{'id':'m:1','object':'model','created':1700000000,'owned_by':'bantam','aliases':['"
         "default'"
         "],'context_length':2048,'loaded':true}"},
        {"GET", "/v1/models", true,
         "{'data':[{'type':'model','id':'m:1','display_name':'m:1','created_at':"
         "'2023-11-14T22:13:20.000000000Z'}],'has_more':false,'first_id':'m:1','last_id':'m:1'}"},
        {"GET", "/api/tags", false,
         "{'models':[{'name':'m:1','model':'m:1','modified_at':'2023-11-14T22:13:20.000000000Z',"
         "'size':10,'digest':'ab'," DETAILS "}]}"},
        {"GET", "/api/ps", false,
         "{'models':[{'name':'m:1','model':'m:1','size':20,'digest':'ab'," DETAILS ",'expires_at':"
         "'2023-11-14T22:18:20.000000000Z','size_vram':0,'context_length':2048}]}"},
        {"POST", "/api/show", false,
         "{'modelfile':'FROM m:1\\n','parameters':'','template':'{{x}}'," DETAILS ",'model_info':{"
         "'general.architecture':'qwen3','general.parameter_count':494030000,'qwen3.context_length'"
         ":"
         "4096,'qwen3.embedding_length':64,'qwen3.block_count':2},'capabilities':['completion',"
         "'tools','thinking'],'modified_at':'2023-11-14T22:13:20.000000000Z'}"},
        {"GET", "/props", false,
         "{'default_generation_settings':{'n_ctx':2048},'total_slots':4,'model_alias':'m:1',"
         "'model_path':'m:1','chat_template':'{{x}}','modalities':{'vision':false,'audio':false},"
         "'build_info':'bantam-0.1.0'}"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ApiRoute route;
        Buf out = {0};
        assert_true(api_routes(cases[i].method, cases[i].path, &route));
        if (route.kind == API_MODELS || route.kind == API_RUNNING)
            api_reply_models(&route, &model, 1, cases[i].anthropic, &out);
        else
            api_reply_model(&route, &model, cases[i].anthropic, &out);
        is(&out, cases[i].expected);
    }
}

static void texts_are_json(void **state)
{
    (void)state;
    Buf out = {0};
    JsonOut j = {&out};
    static const char bytes[] = "a\"\\\b\f\n\r\t\x01\x7f\xc3\xa9\xff\xe2\x82\xed\xa0\x80z";
    jout_text(&j, bytes, sizeof bytes - 1);
    is(&out, "'a\\'\\\\\\b\\f\\n\\r\\t\\u0001\x7f\xc3\xa9\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"
             "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdz'");
    static const struct {
        int64_t seconds;
        const char *text;
    } times[] = {{0, "'1970-01-01T00:00:00.000000000Z'"},
                 {951782400, "'2000-02-29T00:00:00.000000000Z'"},
                 {-1, "'1969-12-31T23:59:59.000000000Z'"},
                 {4107542399, "'2100-02-28T23:59:59.000000000Z'"}};
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        j = (JsonOut){&out};
        jout_time(&j, times[i].seconds, 0);
        is(&out, times[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chats),
        cmocka_unit_test(responses),
        cmocka_unit_test(vectors),
        cmocka_unit_test(ranks),
        cmocka_unit_test(tokens),
        cmocka_unit_test(acknowledgements),
        cmocka_unit_test(remembered_items),
        cmocka_unit_test(catalogues),
        cmocka_unit_test(texts_are_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
