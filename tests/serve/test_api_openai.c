/* Requests of OpenAI's APIs, written by hand from the published reference: what is read of each,
 * and what each is refused for. In all texts single quotes stand for double ones. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "api_case.h"

#define CHAT  "/v1/chat/completions"
#define USER  "'messages':[{'role':'user','content':'hi'}]"
#define SAID  "messages=[{'role':'user','content':'hi'}]\n"
#define TOOL  "{'type':'function','function':{'name':'f','parameters':{'type':'object'}}}"
#define TOOLS "tools=[" TOOL "]\n"

static void chat(void **state)
{
    (void)state;
    case_reads(CHAT, "{'model':'m'," USER "}", "model=m\n" SAID);
    case_reads(CHAT, "{" USER ",'stream':true,'stream_options':{'include_usage':true}}",
               "stream=1\n" SAID "usage=1\n");
    case_reads(CHAT,
               "{" USER ",'temperature':0.5,'top_p':0.9,'top_k':0,'min_p':0,'seed':7,"
               "'presence_penalty':1,'frequency_penalty':-1,'n':3,'max_tokens':5,"
               "'max_completion_tokens':6,'logit_bias':{'5':-100,'7':2.5},'stop':['a','b'],"
               "'logprobs':true,'top_logprobs':4}",
               SAID "temperature=0.5\ntop_k=-1\ntop_p=0.9\nmin_p=-1\npresence=1\nfrequency=-1\n"
                    "seed=7\nbias[5]=-inf\nbias[7]=2.5\nn=3\nmax=6\ntop=4\nstop=a\nstop=b\n");
    case_reads(CHAT, "{" USER ",'temperature':0,'stop':'x','user':null,'foo':[1]}",
               SAID "greedy=1\nstop=x\n");
    case_reads(CHAT, "{" USER ",'adapters':['a',{'name':'b','scale':0.5}],'cache_prompt':false}",
               SAID "no_cache=1\nadapter=a:1\nadapter=b:0.5\n");
    case_reads(CHAT, "{" USER ",'reasoning_effort':'low'}",
               SAID "variables={'reasoning_effort':'low'}\nthink=on\n");
    case_reads(CHAT, "{" USER ",'reasoning_effort':'none'}", SAID "think=off\n");
    case_reads(CHAT, "{" USER ",'chat_template_kwargs':{'enable_thinking':false,'x':[1,'a']}}",
               SAID "variables={'enable_thinking':false,'x':[1,'a']}\nthink=off\n");
}

static void chat_forms(void **state)
{
    (void)state;
    case_reads(CHAT, "{" USER ",'response_format':{'type':'text'}}", SAID);
    case_reads(CHAT, "{" USER ",'response_format':{'type':'json_object'}}", SAID "hold=json\n");
    case_reads(CHAT,
               "{" USER ",'response_format':{'type':'json_schema','json_schema':{'name':'n',"
               "'strict':true,'schema':{'type':'object','x':1e5,'y':[]}}}}",
               SAID "hold=schema\nhold_text={'type':'object','x':1e5,'y':[]}\n");
    case_reads(CHAT, "{" USER ",'grammar':'root ::= [a]'}",
               SAID "hold=gbnf\nhold_text=root ::= [a]\n");
    case_refuses(CHAT, "{" USER ",'response_format':{'type':'xml'}}", 400, "response_format.type",
                 "json_schema");
    case_refuses(CHAT, "{" USER ",'response_format':{'type':'json_schema'}}", 400,
                 "response_format.json_schema.schema", "missing");
    case_refuses(CHAT, "{" USER ",'response_format':'json'}", 400, "response_format",
                 "must be an object, not a string");
}

static void chat_messages(void **state)
{
    (void)state;
    case_reads(
        CHAT,
        "{'messages':[{'role':'developer','content':'d'},{'role':'user','content':[{'type':'text',"
        "'text':'a'},{'type':'text','text':'b'}],'name':'n'},{'role':'assistant','content':null,"
        "'reasoning':'hm','tool_calls':[{'id':'c1','type':'function','function':{'name':'f',"
        "'arguments':'{\\'x\\':1}'}}]},{'role':'tool','tool_call_id':'c1','content':'4'}]}",
        "messages=[{'role':'developer','content':'d'},{'role':'user','content':'a\\nb','name':'n'},"
        "{'role':'assistant','content':null,'reasoning_content':'hm','tool_calls':[{'id':'c1',"
        "'type':'function','function':{'name':'f','arguments':'{\\'x\\':1}'}}]},{'role':'tool',"
        "'content':'4','tool_call_id':'c1'}]\n");
    case_reads(CHAT,
               "{'messages':[{'role':'user','content':'a'},{'role':'assistant','content':'b'}],"
               "'continue_final_message':true}",
               "messages=[{'role':'user','content':'a'}]\nprefill=b\n");
    case_refuses(CHAT, "{'messages':[]}", 400, "messages", "must not be empty");
    case_refuses(CHAT, "{}", 400, "messages", "missing");
    case_refuses(CHAT, "{'messages':'hi'}", 400, "messages", "an array, not a string");
    case_refuses(CHAT, "{'messages':[3]}", 400, "messages[0]", "an object, not a number");
    case_refuses(CHAT, "{'messages':[{'content':'x'}]}", 400, "messages[0].role", "missing");
    case_refuses(CHAT, "{'messages':[{'role':'bot','content':'x'}]}", 400, "messages[0].role",
                 "assistant");
    case_refuses(CHAT, "{'messages':[{'role':'user'}]}", 400, "messages[0].content", "missing");
    case_refuses(CHAT, "{'messages':[{'role':'tool','content':'x'}]}", 400,
                 "messages[0].tool_call_id", "missing");
    case_refuses(CHAT,
                 "{'messages':[{'role':'user','content':[{'type':'image_url','image_url':{'url':"
                 "'data:x'}}]}]}",
                 400, "messages[0].content[0]", "reads text only");
    case_refuses(CHAT, "{'messages':[{'role':'user','content':[{'type':'input_audio'}]}]}", 400,
                 "messages[0].content[0]", "input_audio");
    case_refuses(CHAT, "{'messages':[{'role':'assistant','tool_calls':[{'function':{}}]}]}", 400,
                 "messages[0].tool_calls[0].function.name", "missing");
}

static void chat_tools(void **state)
{
    (void)state;
    case_reads(CHAT, "{" USER ",'tools':[" TOOL "]}", SAID TOOLS);
    case_reads(CHAT, "{" USER ",'tools':[" TOOL "],'tool_choice':'none'}", SAID "choice=none\n");
    case_reads(CHAT,
               "{" USER ",'tools':[" TOOL "],'tool_choice':'required',"
               "'parallel_tool_calls':false}",
               SAID TOOLS "choice=required\none_call=1\n");
    case_reads(CHAT,
               "{" USER
               ",'tools':[{'type':'function','function':{'name':'g','description':'d'}}," TOOL
               "],'tool_choice':{'type':'function','function':{'name':'f'}}}",
               SAID TOOLS "choice=named\n");
    case_reads(
        CHAT,
        "{" USER ",'tools':[{'type':'function','function':{'name':'g','strict':true}}," TOOL
        "],'tool_choice':{'type':'allowed_tools','allowed_tools':{'mode':'required','tools':["
        "{'type':'function','function':{'name':'g'}}]}}}",
        SAID "tools=[{'type':'function','function':{'name':'g','parameters':{'type':'object',"
             "'properties':{}},'strict':true}}]\nchoice=required\n");
    case_refuses(CHAT, "{" USER ",'tools':[{'type':'web_search'}]}", 400, "tools[0].type",
                 "only tools of type");
    case_refuses(CHAT, "{" USER ",'tools':[{'type':'function','function':{'name':'a b'}}]}", 400,
                 "tools[0].function.name", "letters");
    case_refuses(CHAT, "{" USER ",'tool_choice':'required'}", 400, "tool_choice", "no tools");
    case_refuses(CHAT, "{" USER ",'tools':[" TOOL "],'tool_choice':{'function':{'name':'z'}}}", 400,
                 "tool_choice", "no tool of this request");
    case_refuses(CHAT, "{" USER ",'tools':[" TOOL "],'tool_choice':3}", 400, "tool_choice", "auto");
    case_refuses(CHAT, "{" USER ",'functions':[]}", 400, "functions", "use \"tools\"");
}

static void ranges(void **state)
{
    (void)state;
    case_refuses(CHAT, "{" USER ",'temperature':'0.5'}", 400, "temperature",
                 "must be a number from 0 to 2, not a string");
    case_refuses(CHAT, "{" USER ",'temperature':2.5}", 400, "temperature", "from 0 to 2, not 2.5");
    case_refuses(CHAT, "{" USER ",'temperature':1e999}", 400, "temperature", "not 1e999");
    case_refuses(CHAT, "{" USER ",'n':0}", 400, "n", "an integer from 1 to 16, not 0");
    case_refuses(CHAT, "{" USER ",'n':1.5}", 400, "n", "not 1.5");
    case_refuses(CHAT, "{" USER ",'max_tokens':-1}", 400, "max_tokens", "at least 1");
    case_refuses(CHAT, "{" USER ",'max_tokens':99999999999}", 400, "max_tokens", "99999999999");
    case_refuses(CHAT, "{" USER ",'stream':'yes'}", 400, "stream", "true or false, not a string");
    case_refuses(CHAT, "{" USER ",'stream_options':{'include_usage':1}}", 400,
                 "stream_options.include_usage", "true or false");
    case_refuses(CHAT, "{" USER ",'top_logprobs':3}", 400, "top_logprobs", "logprobs");
    case_refuses(CHAT, "{" USER ",'logprobs':true,'top_logprobs':21}", 400, "top_logprobs", "20");
    case_refuses(CHAT, "{" USER ",'seed':1.5}", 400, "seed", "64 bits");
    case_refuses(CHAT, "{" USER ",'seed':18446744073709551616}", 400, "seed", "64 bits");
    case_refuses(CHAT, "{" USER ",'logit_bias':{'x':1}}", 400, "logit_bias", "digits");
    case_refuses(CHAT, "{" USER ",'logit_bias':{'1':101}}", 400, "logit_bias", "-100 to 100");
    case_refuses(CHAT, "{" USER ",'stop':[1]}", 400, "stop[0]", "a string, not a number");
    case_refuses(CHAT, "{" USER ",'stop':'a\\u0000b'}", 400, "stop", "NUL");
    case_refuses(CHAT, "{" USER ",'model':7}", 400, "model", "a string, not a number");
    case_refuses(CHAT, "{" USER ",'adapters':[{'scale':1}]}", 400, "adapters[0]", "name");
    case_refuses(CHAT, "{" USER ",'modalities':['text','audio']}", 400, "modalities", "text only");
    case_reads(CHAT, "{" USER ",'seed':-9223372036854775808}", SAID "seed=-9223372036854775808\n");
    case_reads(CHAT, "{" USER ",'n':2.0,'max_tokens':1e3}", SAID "n=2\nmax=1000\n");
}

static void vocabulary_bounds_ids(void **state)
{
    (void)state;
    const ApiDefaults defaults = {.n_vocab = 100, .system = "be brief", .max_tokens = 50};
    ApiError err;
    Buf out = {0};
    assert_null(case_parse(CHAT, "{" USER ",'logit_bias':{'100':1}}", &defaults, &err));
    assert_non_null(strstr(err.text, "the vocabulary has 100"));
    assert_null(case_parse("/v1/completions", "{'prompt':[1,100]}", &defaults, &err));
    assert_non_null(strstr(err.text, "is 100; the vocabulary has 100 tokens"));
    ApiCall *call = case_parse(CHAT, "{" USER "}", &defaults, &err);
    case_dump(call, &out);
    assert_string_equal(out.data,
                        "messages=[{\"role\":\"system\",\"content\":\"be brief\"},{\"role\":"
                        "\"user\",\"content\":\"hi\"}]\nmax=50\n");
    buf_clear(&out);
    api_call_close(&call);
    /* Ollama's clients send an empty system text where none is meant */
    call = case_parse("/api/generate", "{'model':'m','prompt':'p','system':'','stream':false}",
                      &defaults, &err);
    case_dump(call, &out);
    assert_string_equal(out.data,
                        "model=m\nmessages=[{\"role\":\"system\",\"content\":\"be brief\"},"
                        "{\"role\":\"user\",\"content\":\"p\"}]\nmax=50\n");
    buf_close(&out);
    api_call_close(&call);
}

static void completions(void **state)
{
    (void)state;
    static const char path[] = "/v1/completions";
    case_reads(path, "{'prompt':'a'}", "prompt[0]=a\nmax=16\n");
    case_reads(path, "{'prompt':['a','b'],'max_tokens':0,'echo':true}",
               "prompt[0]=a\nprompt[1]=b\necho=1\nmax=0\n");
    case_reads(path, "{'prompt':[1,2,3],'logprobs':2,'best_of':2,'n':2}",
               "prompt[0]=#1,2,3\nn=2\nmax=16\ntop=2\n");
    case_reads(path, "{'prompt':[[1,2],[3]],'suffix':null}",
               "prompt[0]=#1,2\nprompt[1]=#3\nmax=16\n");
    case_reads(path, "{'prompt':'a','suffix':'z'}", "prompt[0]=a\nsuffix=z\nmax=16\n");
    case_refuses(path, "{'prompt':[]}", 400, "prompt", "empty");
    case_refuses(path, "{'prompt':[1,'a']}", 400, "prompt[0]", "a string or token ids");
    case_refuses(path, "{'prompt':{'a':1}}", 400, "prompt", "not an object");
    case_refuses(path, "{'prompt':[1,-2]}", 400, "prompt", "token's id");
    case_refuses(path, "{'prompt':[1,2.5]}", 400, "prompt", "token's id");
    case_refuses(path, "{'prompt':'a','best_of':3}", 400, "best_of", "best_of");
    case_refuses(path, "{'prompt':['a','b'],'suffix':'z'}", 400, "suffix", "one prompt");
    case_refuses(path, "{'prompt':'a','echo':true,'logprobs':1}", 400, "echo", "logprobs");
}

static void embeddings_and_ranks(void **state)
{
    (void)state;
    case_reads("/v1/embeddings", "{'model':'e','input':['a','b'],'dimensions':4}",
               "model=e\nprompt[0]=a\nprompt[1]=b\ndimensions=4\n");
    case_reads("/v1/embeddings", "{'input':[[1],[2,3]],'encoding_format':'base64'}",
               "prompt[0]=#1\nprompt[1]=#2,3\nbase64=1\n");
    case_refuses("/v1/embeddings", "{'input':'a','encoding_format':'hex'}", 400, "encoding_format",
                 "float or base64");
    case_refuses("/v1/embeddings", "{'input':'a','dimensions':0}", 400, "dimensions", "from 1");
    case_refuses("/v1/embeddings", "{'input':[[]]}", 400, "input[0]", "empty");
    case_reads("/v1/rerank", "{'query':'q','documents':['a',{'text':'b'}],'top_n':1}",
               "query=q\ndocument=a\ndocument=b\ntop_n=1\n");
    case_refuses("/v1/rerank", "{'query':'q','documents':[3]}", 400, "documents[0]", "a string");
    case_refuses("/v1/rerank", "{'documents':['a']}", 400, "query", "missing");
}

static void responses(void **state)
{
    (void)state;
    static const char path[] = "/v1/responses";
    case_reads(path, "{'input':'hi','instructions':'be','max_output_tokens':9}",
               SAID "instructions=be\nmax=9\n");
    case_reads(
        path,
        "{'input':[{'role':'user','content':[{'type':'input_text','text':'a'}]},{'type':"
        "'reasoning','id':'rs_1','summary':[],'content':[{'type':'reasoning_text','text':'hm'"
        "}]},{'type':'message','role':'assistant','content':[{'type':'output_text','text':'b'"
        "}]},{'type':'function_call','call_id':'c','name':'f','arguments':'{}'},{'type':"
        "'function_call_output','call_id':'c','output':'4'}],'previous_response_id':"
        "'resp_1','stream':true,'top_logprobs':2}",
        "stream=1\nmessages=[{'role':'user','content':'a'},{'role':'assistant','content':'b',"
        "'reasoning_content':'hm','tool_calls':[{'id':'c','type':'function','function':{'name"
        "':'f','arguments':'{}'}}]},{'role':'tool','content':'4','tool_call_id':'c'}]\n"
        "top=2\nprevious=resp_1\n");
    case_reads(
        path,
        "{'input':'hi','tools':[{'type':'function','name':'f','parameters':{'type':'object'}}"
        ",{'type':'function','name':'g'}],'tool_choice':{'type':'function','name':'f'},'text'"
        ":{'format':{'type':'json_schema','name':'n','schema':{'type':'object'}}},'reasoning'"
        ":{'effort':'high','summary':'auto'}}",
        SAID TOOLS "choice=named\nvariables={'reasoning_effort':'high'}\nthink=on\n"
                   "hold=schema\nhold_text={'type':'object'}\n");
    case_refuses(path, "{}", 400, "input", "missing");
    case_refuses(path, "{'input':[]}", 400, "input", "empty");
    case_refuses(path, "{'input':'x','background':true}", 400, "background", "not supported");
    case_refuses(path, "{'input':'x','tools':[{'type':'web_search'}]}", 400, "tools[0].type",
                 "function");
    case_refuses(path, "{'input':[{'type':'item_reference','id':'x'}]}", 400, "input[0]",
                 "item_reference");
    case_refuses(path,
                 "{'input':[{'role':'user','content':[{'type':'input_image','image_url':'x'}]}]}",
                 400, "input[0].content[0]", "reads text only");
    case_refuses(path, "{'input':'x','conversation':'c'}", 400, "conversation",
                 "previous_response_id");
}

static void responses_go_on(void **state)
{
    (void)state;
    ApiError err;
    Buf all = {0}, kept = {0};
    ApiCall *call = case_parse("/v1/responses", "{'input':'b','instructions':'i'}", NULL, &err);
    const char *before = "[{\"role\":\"user\",\"content\":\"a\"}]";
    api_responses_messages(call, before, &all);
    assert_string_equal(all.data, "[{\"role\":\"system\",\"content\":\"i\"},{\"role\":\"user\","
                                  "\"content\":\"a\"},{\"role\":\"user\",\"content\":\"b\"}]");
    api_responses_remember(call, NULL, "{\"role\":\"assistant\",\"content\":\"c\"}", &kept);
    assert_string_equal(kept.data, "[{\"role\":\"user\",\"content\":\"b\"},{\"role\":\"assistant\","
                                   "\"content\":\"c\"}]");
    buf_close(&all);
    buf_close(&kept);
    api_call_close(&call);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chat),          cmocka_unit_test(chat_forms),
        cmocka_unit_test(chat_messages), cmocka_unit_test(chat_tools),
        cmocka_unit_test(ranges),        cmocka_unit_test(vocabulary_bounds_ids),
        cmocka_unit_test(completions),   cmocka_unit_test(embeddings_and_ranks),
        cmocka_unit_test(responses),     cmocka_unit_test(responses_go_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
