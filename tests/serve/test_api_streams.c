/* Streams, byte by byte, as each API's published reference shows them. In expected texts single
 * quotes stand for double ones. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "api_case.h"
#include "base/mem.h"

#define HI "'messages':[{'role':'user','content':'hi'}]"

static const CaseEvent words[] = {{BT_ANSWER_REASONING, -1, "hm"},
                                  {BT_ANSWER_TEXT, -1, "a\""},
                                  {BT_ANSWER_TEXT, -1, "\xc3\xa9\n"}};
static const CaseEvent calls[] = {
    {BT_ANSWER_TEXT, -1, "x"},           {BT_ANSWER_CALL, 0, "f"},
    {BT_ANSWER_ARGUMENTS, 0, "{\"k\":"}, {BT_ANSWER_ARGUMENTS, 0, "1}"},
    {BT_ANSWER_CALL_END, 0, NULL},       {BT_ANSWER_CALL, 1, "g"},
    {BT_ANSWER_ARGUMENTS, 1, "{}"},      {BT_ANSWER_CALL_END, 1, NULL}};

#define CHUNK                                                                                      \
    "data: "                                                                                       \
    "{'id':'chatcmpl-0000000000000001','object':'chat.completion.chunk','created':1700000000,"     \
    "'model':'m','system_fingerprint':'bantam-0.1.0','choices':["
#define DELTA(inside) CHUNK "{'index':0,'delta':{" inside "},'logprobs':null,'finish_reason':null}]"
#define ENDED(why)    CHUNK "{'index':0,'delta':{},'logprobs':null,'finish_reason':'" why "'}]"
#define ROLE          "'role':'assistant','content':'','refusal':null"

/* clang-format off */
static void chat(void **state)
{
    (void)state;
    case_sends("/v1/chat/completions", "{'stream':true," HI "}", words, 3, API_FINISH_STOP, NULL,
               DELTA(ROLE) "}\n\n"
               DELTA("'reasoning_content':'hm'") "}\n\n"
               DELTA("'content':'a\\''") "}\n\n"
               DELTA("'content':'\xc3\xa9\\n'") "}\n\n"
               ENDED("stop") "}\n\n"
               "data: [DONE]\n\n");
    case_sends("/v1/chat/completions",
               "{'stream':true,'stream_options':{'include_usage':true}," HI "}", words + 1, 1,
               API_FINISH_LENGTH, NULL,
               DELTA(ROLE) ",'usage':null}\n\n"
               DELTA("'content':'a\\''") ",'usage':null}\n\n"
               ENDED("length") ",'usage':null}\n\n"
               CHUNK "],'usage':{'prompt_tokens':9,'completion_tokens':5,'total_tokens':14,"
               "'prompt_tokens_details':{'cached_tokens':4},'completion_tokens_details':{"
               "'reasoning_tokens':2}}}\n\n"
               "data: [DONE]\n\n");
}
/* clang-format on */

/* clang-format off */
static void chat_calls(void **state)
{
    (void)state;
    case_sends(
        "/v1/chat/completions", "{'stream':true," HI "}", calls, 8, API_FINISH_STOP, NULL,
        DELTA(ROLE) "}\n\n"
        DELTA("'content':'x'") "}\n\n"
        DELTA("'tool_calls':[{'index':0,'id':'call_0','type':'function','function':{'name':'f',"
              "'arguments':''}}]") "}\n\n"
        DELTA("'tool_calls':[{'index':0,'function':{'arguments':'{\\'k\\':'}}]") "}\n\n"
        DELTA("'tool_calls':[{'index':0,'function':{'arguments':'1}'}}]") "}\n\n"
        DELTA("'tool_calls':[{'index':1,'id':'call_1','type':'function','function':{'name':'g',"
              "'arguments':''}}]") "}\n\n"
        DELTA("'tool_calls':[{'index':1,'function':{'arguments':'{}'}}]") "}\n\n"
        ENDED("tool_calls") "}\n\n"
        "data: [DONE]\n\n");
}
/* clang-format on */

static void choices_are_told_apart(void **state)
{
    (void)state;
    Buf out = {0};
    case_play("/v1/chat/completions", "{'stream':true,'n':2," HI "}", words + 1, 1, API_FINISH_STOP,
              NULL, &out);
    assert_non_null(strstr(out.data, "{\"index\":1,\"delta\":{\"content\":\"a\\\"\"}"));
    assert_non_null(strstr(out.data,
                           "{\"index\":1,\"delta\":{},\"logprobs\":null,\"finish_reason\":"
                           "\"stop\"}"));
    buf_close(&out);
}

static void completions(void **state)
{
    (void)state;
#define TEXT                                                                                       \
    "data: {'id':'cmpl-0000000000000001','object':'text_completion','created':1700000000,'model':" \
    "'m','system_fingerprint':'bantam-0.1.0','choices':[{'text':"
    case_sends("/v1/completions", "{'stream':true,'prompt':'p'}", words + 1, 1, API_FINISH_WORD,
               "x",
               TEXT "'a\\'','index':0,'logprobs':null,'finish_reason':null}]}\n\n" TEXT
                    "'','index':0,'logprobs':null,'finish_reason':'stop'}]}\n\ndata: [DONE]\n\n");
}

#define DATA(name) "event: " name "\ndata: {'type':'" name "'"
#define PING       "event: ping\ndata: {'type':'ping'}\n\n"
#define START                                                                                      \
    DATA("message_start")                                                                          \
    ",'message':{'id':'msg_0000000000000001','type':'message','role':"                             \
    "'assistant','model':'m','content':[],'stop_reason':null,'stop_sequence':null,'usage':{"       \
    "'input_tokens':5,'cache_creation_input_tokens':0,'cache_read_input_tokens':4,"                \
    "'output_tokens':0}}}\n\n" PING
#define BLOCK(i, what)  DATA("content_block_start") ",'index':" i ",'content_block':{" what "}}\n\n"
#define DELTAS(i, what) DATA("content_block_delta") ",'index':" i ",'delta':{" what "}}\n\n"
#define STOP(i)         DATA("content_block_stop") ",'index':" i "}\n\n"
#define STOPPED(why, word)                                                                         \
    DATA("message_delta")                                                                          \
    ",'delta':{'stop_reason':'" why "','stop_sequence':" word "},'usage':{"                        \
    "'input_tokens':5,'cache_creation_input_tokens':0,'cache_read_input_tokens':4,"                \
    "'output_tokens':5}}\n\n" DATA("message_stop") "}\n\n"

/* clang-format off */
static void anthropic(void **state)
{
    (void)state;
    case_sends("/v1/messages",
               "{'stream':true,'max_tokens':9,'thinking':{'type':'enabled','budget_tokens':9}," HI
               "}",
               words, 3, API_FINISH_WORD, "END",
               START
               BLOCK("0", "'type':'thinking','thinking':'','signature':''")
               DELTAS("0", "'type':'thinking_delta','thinking':'hm'")
               DELTAS("0", "'type':'signature_delta','signature':''")
               STOP("0")
               BLOCK("1", "'type':'text','text':''")
               DELTAS("1", "'type':'text_delta','text':'a\\''")
               DELTAS("1", "'type':'text_delta','text':'\xc3\xa9\\n'")
               STOP("1")
               STOPPED("stop_sequence", "'END'"));
    case_sends("/v1/messages", "{'stream':true,'max_tokens':9," HI "}", calls, 8, API_FINISH_STOP,
               NULL,
               START
               BLOCK("0", "'type':'text','text':''")
               DELTAS("0", "'type':'text_delta','text':'x'")
               STOP("0")
               BLOCK("1", "'type':'tool_use','id':'call_0','name':'f','input':{}")
               DELTAS("1", "'type':'input_json_delta','partial_json':'{\\'k\\':'")
               DELTAS("1", "'type':'input_json_delta','partial_json':'1}'")
               STOP("1")
               BLOCK("2", "'type':'tool_use','id':'call_1','name':'g','input':{}")
               DELTAS("2", "'type':'input_json_delta','partial_json':'{}'")
               STOP("2")
               STOPPED("tool_use", "null"));
    /* thoughts that were not asked for are not shown */
    case_sends("/v1/messages", "{'stream':true,'max_tokens':9," HI "}", words, 1, API_FINISH_LENGTH,
               NULL, START STOPPED("max_tokens", "null"));
}
/* clang-format on */

#define WHEN "{'model':'m','created_at':'2023-11-14T22:13:20.000000000Z',"
#define DURATIONS                                                                                  \
    "'total_duration':8000000,'load_duration':3000,'prompt_eval_count':9,'prompt_eval_duration':"  \
    "2000000,'eval_count':5,'eval_duration':5000000}\n"

/* clang-format off */
static void ollama(void **state)
{
    (void)state;
    case_sends("/api/chat", "{'model':'m'," HI "}", words, 3, API_FINISH_STOP, NULL,
               WHEN "'message':{'role':'assistant','content':'','thinking':'hm'},'done':false}\n"
               WHEN "'message':{'role':'assistant','content':'a\\''},'done':false}\n"
               WHEN "'message':{'role':'assistant','content':'\xc3\xa9\\n'},'done':false}\n"
               WHEN "'message':{'role':'assistant','content':''},'done':true,'done_reason':'stop',"
               DURATIONS);
    case_sends("/api/chat", "{'model':'m'," HI "}", calls, 5, API_FINISH_STOP, NULL,
               WHEN "'message':{'role':'assistant','content':'x'},'done':false}\n"
               WHEN "'message':{'role':'assistant','content':'','tool_calls':[{'id':'call_0',"
                    "'function':{'index':0,'name':'f','arguments':{'k':1}}}]},'done':false}\n"
               WHEN "'message':{'role':'assistant','content':''},'done':true,'done_reason':'stop',"
               DURATIONS);
    case_sends("/api/generate", "{'model':'m','prompt':'p'}", words + 1, 1, API_FINISH_LENGTH, NULL,
               WHEN "'response':'a\\'','done':false}\n"
               WHEN "'response':'','done':true,'done_reason':'length'," DURATIONS);
}
/* clang-format on */

static void llama(void **state)
{
    (void)state;
    Buf out = {0};
    static const char head[] =
        "data: {\"index\":0,\"content\":\"a\\\"\",\"tokens\":[],\"stop\":false,"
        "\"id_slot\":-1}\n\ndata: {\"index\":0,\"content\":\"\",\"tokens\":[],"
        "\"id_slot\":-1,\"stop\":true,\"model\":\"m\",\"tokens_predicted\":5,"
        "\"tokens_evaluated\":9,\"generation_settings\":{";
    case_play("/completion", "{'stream':true,'prompt':'p'}", words + 1, 1, API_FINISH_WORD, "END",
              &out);
    assert_memory_equal(out.data, head, sizeof head - 1);
    assert_non_null(strstr(out.data, "\"stop_type\":\"word\",\"stopping_word\":\"END\""));
    assert_non_null(strstr(out.data, "\"timings\":{\"cache_n\":4,\"prompt_n\":5,\"prompt_ms\":2,"));
    buf_close(&out);
}

/* The types of a stream's events, in order, with what each belongs to. */
static void responses_live(void **state)
{
    (void)state;
    static const char *const order[] = {"response.created",
                                        "response.in_progress",
                                        "response.output_item.added",
                                        "response.content_part.added",
                                        "response.output_text.delta",
                                        "response.output_text.done",
                                        "response.content_part.done",
                                        "response.output_item.done",
                                        "response.output_item.added",
                                        "response.function_call_arguments.delta",
                                        "response.function_call_arguments.delta",
                                        "response.function_call_arguments.done",
                                        "response.output_item.done",
                                        "response.output_item.added",
                                        "response.function_call_arguments.delta",
                                        "response.function_call_arguments.done",
                                        "response.output_item.done",
                                        "response.completed"};
    Buf out = {0};
    case_play("/v1/responses", "{'stream':true,'input':'hi'}", calls, 8, API_FINISH_STOP, NULL,
              &out);
    const char *at = out.data;
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        char line[160];
        int n = snprintf(line, sizeof line,
                         "event: %s\ndata: {\"type\":\"%s\",\"sequence_number\":%zu,", order[i],
                         order[i], i);
        assert_memory_equal(at, line, (size_t)n);
        at = strstr(at, "\n\n") + 2;
    }
    assert_int_equal(*at, 0);
    buf_close(&out);
}

/* clang-format off */
static void responses_bytes(void **state)
{
    (void)state;
#define EVENT(name, n) "event: " name "\ndata: {'type':'" name "','sequence_number':" n ","
#define REST                                                                                       \
    "'instructions':null,'max_output_tokens':null,'metadata':{},'parallel_tool_calls':true,"       \
    "'previous_response_id':null,'reasoning':{'effort':null,'summary':null},'store':true,"         \
    "'temperature':1,'text':{'format':{'type':'text'}},'tool_choice':'auto','tools':[],'top_p':1," \
    "'truncation':'disabled','user':null,"
#define HEAD(status)                                                                               \
    "'response':{'id':'resp_030000000000000001','object':'response','created_at':1700000000,"      \
    "'status':'" status "','background':false,'error':null,'incomplete_details':"
#define ITEM "'item_id':'msg_000000000000000100','output_index':0,'content_index':0,"
#define PART(text) "{'type':'output_text','annotations':[],'logprobs':[],'text':'" text "'}"
#define MESSAGE(status, content)                                                                   \
    "{'id':'msg_000000000000000100','type':'message','status':'" status                            \
    "','role':'assistant','content':[" content "]}"
    case_sends(
        "/v1/responses", "{'stream':true,'input':'hi'}", words + 1, 1, API_FINISH_LENGTH, NULL,
        EVENT("response.created", "0")
        HEAD("in_progress") "null,'model':'m','output':[]," REST "'usage':null}}\n\n"
        EVENT("response.in_progress", "1")
        HEAD("in_progress") "null,'model':'m','output':[]," REST "'usage':null}}\n\n"
        EVENT("response.output_item.added", "2")
        "'output_index':0,'item':" MESSAGE("in_progress", "") "}\n\n"
        EVENT("response.content_part.added", "3") ITEM "'part':" PART("") "}\n\n"
        EVENT("response.output_text.delta", "4") ITEM "'delta':'a\\'','logprobs':[]}\n\n"
        EVENT("response.output_text.done", "5") ITEM "'text':'a\\'','logprobs':[]}\n\n"
        EVENT("response.content_part.done", "6") ITEM "'part':" PART("a\\'") "}\n\n"
        EVENT("response.output_item.done", "7")
        "'output_index':0,'item':" MESSAGE("incomplete", PART("a\\'")) "}\n\n"
        EVENT("response.incomplete", "8")
        HEAD("incomplete") "{'reason':'max_output_tokens'},"
        "'model':'m','output':[" MESSAGE("incomplete", PART("a\\'")) "]," REST
        "'usage':{'input_tokens':9,'input_tokens_details':{'cached_tokens':4},'output_tokens':5,"
        "'output_tokens_details':{'reasoning_tokens':2},'total_tokens':14}}}\n\n");
}
/* clang-format on */

/* ---- logprobs --------------------------------------------------------------------------- */

static void probabilities(void **state)
{
    (void)state;
    static const ApiTokenProb top[] = {{.id = 1, .logprob = -0.5f, .bytes = "\xc3", .n_bytes = 1},
                                       {.id = 2, .logprob = -1e30f, .bytes = "b", .n_bytes = 1}};
    static const ApiTokenProb token = {
        .id = 1, .logprob = -0.5f, .bytes = "\xc3", .n_bytes = 1, .top = top, .n_top = 2};
    const ApiLogprobs lp = {&token, 1};
    const bt_answer_event e = {
        .kind = BT_ANSWER_TEXT, .index = -1, .text = "\xc3\xa9", .length = 2};
    ApiError err;
    ApiReply *r;
    Buf out = {0};
    ApiCall *call =
        case_parse("/v1/chat/completions",
                   "{'stream':true,'logprobs':true,'top_logprobs':2," HI "}", NULL, &err);
    assert_int_equal(api_reply_open(call, &case_info, &r, &err), BT_OK);
    api_reply_event(r, 0, NULL, &lp, &out); /* a token that shows nothing yet */
    assert_int_equal(out.size, 0);
    api_reply_event(r, 0, &e, &lp, &out);
    char *wanted = case_quotes(
        CHUNK
        "{'index':0,'delta':{'content':'\xc3\xa9'},'logprobs':{'content':["
        "{'token':'\xef\xbf\xbd','logprob':-0.5,'bytes':[195],'top_logprobs':[{'token':"
        "'\xef\xbf\xbd','logprob':-0.5,'bytes':[195]},{'token':'b','logprob':-9999,'bytes':[98]}]},"
        "{'token':'\xef\xbf\xbd','logprob':-0.5,'bytes':[195],'top_logprobs':[{'token':"
        "'\xef\xbf\xbd','logprob':-0.5,'bytes':[195]},{'token':'b','logprob':-9999,'bytes':[98]}]}"
        "],'refusal':null},'finish_reason':null}]}\n\n");
    assert_string_equal(out.data, wanted);
    mem_free(wanted);
    buf_close(&out);
    api_reply_close(&r);
    api_call_close(&call);
}

/* ---- errors ----------------------------------------------------------------------------- */

static void errors_end_streams(void **state)
{
    (void)state;
    static const struct {
        ApiFlavour flavour;
        ApiStreamAs as;
        const char *expected;
    } cases[] = {
        {API_OPENAI, API_STREAM_SSE,
         "data: {'error':{'message':'t','type':'server_error','param':null,'code':null}}\n\n"
         "data: [DONE]\n\n"},
        {API_RESPONSES, API_STREAM_SSE,
         "event: error\ndata: "
         "{'type':'error','sequence_number':0,'code':'server_error','message':'t"
         "','param':null}\n\n"},
        {API_ANTHROPIC, API_STREAM_SSE,
         "event: error\ndata: {'type':'error','error':{'type':'api_error','message':'t'}}\n\n"},
        {API_OLLAMA, API_STREAM_NDJSON, "{'error':'t'}\n"},
        {API_LLAMA, API_STREAM_SSE,
         "data: {'error':{'code':500,'message':'t','type':'server_error'}}\n\n"},
        {API_OLLAMA, API_STREAM_NOT, "{'error':'t'}"},
        {API_ANTHROPIC, API_STREAM_NOT,
         "{'type':'error','error':{'type':'api_error','message':'t'}}"}};
    const ApiError error = {.kind = API_E_INTERNAL, .text = "t"};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Buf out = {0};
        int status = 0;
        char *wanted = case_quotes(cases[i].expected);
        api_reply_error(cases[i].flavour, &error, cases[i].as, &status, &out);
        assert_string_equal(out.data, wanted);
        assert_int_equal(status, 500);
        mem_free(wanted);
        buf_close(&out);
    }
}

static void a_failed_response_says_so(void **state)
{
    (void)state;
    const ApiError error = {.kind = API_E_UNAVAILABLE, .text = "gone"};
    ApiError err;
    ApiReply *r;
    Buf out = {0};
    ApiCall *call = case_parse("/v1/responses", "{'stream':true,'input':'x'}", NULL, &err);
    assert_int_equal(api_reply_open(call, &case_info, &r, &err), BT_OK);
    api_reply_start(r, &out);
    buf_clear(&out);
    api_reply_fail(r, &error, &out);
    assert_non_null(strstr(out.data, "event: response.failed\n"));
    assert_non_null(strstr(out.data,
                           "\"status\":\"failed\",\"background\":false,\"error\":{\"code\":"
                           "\"server_error\",\"message\":\"gone\"}"));
    api_reply_fail(r, &error, &out); /* once is enough */
    assert_null(strstr(strstr(out.data, "response.failed") + 200, "event:"));
    assert_int_equal(api_response_slot(api_reply_id(r)), 3);
    assert_int_equal(api_response_slot("resp_zz0000000000000001"), -1);
    assert_int_equal(api_response_slot("msg_1"), -1);
    buf_close(&out);
    api_reply_close(&r);
    api_call_close(&call);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chat),
        cmocka_unit_test(chat_calls),
        cmocka_unit_test(choices_are_told_apart),
        cmocka_unit_test(completions),
        cmocka_unit_test(anthropic),
        cmocka_unit_test(ollama),
        cmocka_unit_test(llama),
        cmocka_unit_test(responses_live),
        cmocka_unit_test(responses_bytes),
        cmocka_unit_test(probabilities),
        cmocka_unit_test(errors_end_streams),
        cmocka_unit_test(a_failed_response_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
