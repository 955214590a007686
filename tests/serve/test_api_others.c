/* Requests of Anthropic's, Ollama's and llama.cpp's APIs, written by hand from their references. In
 * all texts single quotes stand for double ones. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "api_case.h"
#include "base/mem.h"

#define MESSAGES "/v1/messages"
#define MAX      "'max_tokens':9"
#define HI       "'messages':[{'role':'user','content':'hi'}]"
#define SAID     "messages=[{'role':'user','content':'hi'}]\n"
#define QUIET    "think=off\nthoughts=0\n"

static void anthropic(void **state)
{
    (void)state;
    case_reads(MESSAGES, "{'model':'m'," MAX "," HI ",'system':'be','stop_sequences':['x']}",
               "model=m\nmessages=[{'role':'system','content':'be'},{'role':'user','content':'hi'}]"
               "\n" QUIET "max=9\nstop=x\n");
    case_reads(MESSAGES,
               "{" MAX "," HI ",'thinking':{'type':'enabled','budget_tokens':1024},'stream':true,"
               "'metadata':{'user_id':'u'},'temperature':1,'top_k':5}",
               "stream=1\n" SAID "think=on\ntemperature=1\ntop_k=5\nmax=9\n");
    case_reads(
        MESSAGES,
        "{" MAX ",'messages':[{'role':'user','content':'q'},{'role':'assistant','content':["
        "{'type':'thinking','thinking':'hm','signature':'s'},{'type':'text','text':'a'},"
        "{'type':'tool_use','id':'t1','name':'f','input':{'x':1}}]},{'role':'user','content':"
        "[{'type':'tool_result','tool_use_id':'t1','content':[{'type':'text','text':'4'}]},"
        "{'type':'text','text':'go'}]}]}",
        "messages=[{'role':'user','content':'q'},{'role':'assistant','content':'a',"
        "'reasoning_content':'hm','tool_calls':[{'id':'t1','type':'function','function':"
        "{'name':'f','arguments':'{\\'x\\':1}'}}]},{'role':'tool','content':'4',"
        "'tool_call_id':'t1'},{'role':'user','content':'go'}]\n" QUIET "max=9\n");
    case_reads(MESSAGES,
               "{" MAX ",'messages':[{'role':'user','content':'q'},{'role':'assistant','content':"
               "'Sure: '}]}",
               "messages=[{'role':'user','content':'q'}]\nprefill=Sure:\n" QUIET "max=9\n");
    case_reads(MESSAGES,
               "{" MAX "," HI ",'tools':[{'name':'f','description':'d','input_schema':{'type':"
               "'object'}}],'tool_choice':{'type':'any','disable_parallel_tool_use':true}}",
               SAID
               "tools=[{'type':'function','function':{'name':'f','description':'d','parameters'"
               ":{'type':'object'}}}]\nchoice=required\none_call=1\n" QUIET "max=9\n");
    case_reads("/v1/messages/count_tokens", "{" HI "}", SAID QUIET);
}

static void anthropic_refusals(void **state)
{
    (void)state;
    case_refuses(MESSAGES, "{" HI "}", 400, "max_tokens", "missing");
    case_refuses(MESSAGES, "{" MAX "," HI ",'temperature':1.5}", 400, "temperature", "0 to 1");
    case_refuses(MESSAGES, "{" MAX "," HI ",'thinking':{'type':'maybe'}}", 400, "thinking.type",
                 "enabled");
    case_refuses(MESSAGES, "{" MAX "," HI ",'tools':[{'type':'web_search_20250305','name':'w'}]}",
                 400, "tools[0].type", "input_schema of their own");
    case_refuses(MESSAGES, "{" MAX "," HI ",'tools':[{'name':'w'}]}", 400, "tools[0]",
                 "input_schema is missing");
    case_refuses(MESSAGES, "{" MAX ",'messages':[{'role':'user','content':[{'type':'image'}]}]}",
                 400, "messages[0].content[0]", "reads text only");
    case_refuses(MESSAGES, "{" MAX ",'messages':[{'role':'tool','content':'x'}]}", 400,
                 "messages[0].role", "user or assistant");
    case_refuses(MESSAGES, "{" MAX "," HI ",'system':[{'type':'image'}]}", 400, "system[0]",
                 "text");
    case_refuses(MESSAGES, "{" MAX "," HI ",'tool_choice':{'type':'tool','name':'z'}}", 400,
                 "tool_choice", "there are none");
    case_refuses(MESSAGES,
                 "{" MAX ",'messages':[{'role':'user','content':'q'},{'role':'assistant','content':"
                 "'a\\u0000b'}]}",
                 400, "messages", "NUL");
    case_refuses(MESSAGES, "{" MAX "," HI ",'stop_sequences':'x'}", 400, "stop_sequences",
                 "an array, not a string");
}

/* Two requests that differ in the number of the billing line alone read the same. */
static void billing_line_is_left_out(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        "{" MAX "," HI ",'system':[{'type':'text','text':'x-anthropic-billing-header: cc_version=2;"
        " cch=111;'},{'type':'text','text':'You help.','cache_control':{'type':'ephemeral'}},"
        "{'type':'text','text':'More.'}]}",
        "{" MAX "," HI ",'system':[{'type':'text','text':'x-anthropic-billing-header: cc_version=2;"
        " cch=222;'},{'type':'text','text':'You help.'},{'type':'text','text':'More.'}]}",
        "{" MAX "," HI ",'system':'x-anthropic-billing-header: cch=3;\\nYou help.\\n\\nMore.'}"};
    for (size_t i = 0; i < 3; i++)
        case_reads(MESSAGES, bodies[i],
                   "messages=[{'role':'system','content':'You help.\\n\\nMore.'},{'role':'user',"
                   "'content':'hi'}]\n" QUIET "max=9\n");
    case_reads(MESSAGES, "{" MAX "," HI ",'system':'Say x-anthropic-billing-header: y'}",
               "messages=[{'role':'system','content':'Say x-anthropic-billing-header: y'},{'role':"
               "'user','content':'hi'}]\n" QUIET "max=9\n");
}

static void ollama(void **state)
{
    (void)state;
    case_reads("/api/chat",
               "{'model':'m'," HI ",'options':{'temperature':0,'num_predict':-1,'stop':['a'],"
               "'num_ctx':4096,'top_k':40,'repeat_last_n':0},'keep_alive':'5m','format':'json'}",
               "model=m\nstream=2\n" SAID
               "greedy=1\ntop_k=40\nrepeat_penalty=1\nstop=a\nhold=json\n"
               "keep=300000\n");
    case_reads("/api/chat", "{'model':'m'," HI ",'stream':false,'think':true,'keep_alive':-1}",
               "model=m\n" SAID "think=on\nkeep=-1\n");
    case_reads(
        "/api/chat",
        "{'model':'m','stream':false,'format':{'type':'object'},'messages':[{'role':'user',"
        "'content':'q'},{'role':'assistant','content':'','thinking':'t','tool_calls':[{"
        "'function':{'name':'f','arguments':{'x':1}}}]},{'role':'tool','content':'4',"
        "'tool_name':'f'}]}",
        "model=m\nmessages=[{'role':'user','content':'q'},{'role':'assistant','content':null,"
        "'reasoning_content':'t','tool_calls':[{'id':'call_0','type':'function','function':{"
        "'name':'f','arguments':'{\\'x\\':1}'}}]},{'role':'tool','content':'4','tool_call_id'"
        ":'call_0'}]\nhold=schema\nhold_text={'type':'object'}\n");
    case_reads("/api/generate", "{'model':'m','prompt':'p','system':'s','keep_alive':'1h30m'}",
               "model=m\nstream=2\nmessages=[{'role':'system','content':'s'},{'role':'user',"
               "'content':'p'}]\nkeep=5400000\n");
    case_reads("/api/generate", "{'model':'m','prompt':'p','raw':true,'stream':false}",
               "model=m\nprompt[0]=p\n");
    case_reads("/api/generate", "{'model':'m','prompt':'p','suffix':'z','keep_alive':2.5}",
               "model=m\nstream=2\nprompt[0]=p\nsuffix=z\nkeep=2500\n");
    case_reads("/api/embed", "{'model':'m','input':'a','truncate':true}",
               "model=m\nprompt[0]=a\ncut=1\n");
    case_reads("/api/embeddings", "{'model':'m','prompt':'a'}", "model=m\nprompt[0]=a\n");
    case_refuses("/api/chat", "{" HI "}", 400, "model", "missing");
    case_refuses("/api/chat", "{'model':'m'," HI ",'keep_alive':'soon'}", 400, "keep_alive", "5m");
    case_refuses("/api/chat", "{'model':'m'," HI ",'options':{'top_p':2}}", 400, "options.top_p",
                 "from 0 to 1, not 2");
    case_refuses("/api/chat", "{'model':'m'," HI ",'format':'xml'}", 400, "format", "JSON Schema");
    case_refuses("/api/chat",
                 "{'model':'m','messages':[{'role':'user','content':'x','images':['a']}]}", 400,
                 "messages[0].images", "text only");
    case_refuses("/api/generate", "{'model':'m','prompt':'x','context':[1,2]}", 400, "context",
                 "/api/chat");
    case_refuses("/api/pull", "{'model':'m'}", 400, "", "nothing is downloaded");
}

static void ollama_loads(void **state)
{
    (void)state;
    static const struct {
        const char *path, *body;
        ApiKind kind;
    } cases[] = {{"/api/generate", "{'model':'m'}", API_LOAD},
                 {"/api/generate", "{'model':'m','prompt':'','keep_alive':0}", API_UNLOAD},
                 {"/api/chat", "{'model':'m','messages':[]}", API_LOAD},
                 {"/api/chat", "{'model':'m','keep_alive':'0s'}", API_UNLOAD},
                 {"/api/embed", "{'model':'m','input':''}", API_LOAD},
                 {"/api/generate", "{'model':'m','prompt':'x'}", API_CHAT},
                 {"GET /api/tags", "", API_MODELS}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ApiError err;
        ApiCall *call = case_parse(cases[i].path, cases[i].body, NULL, &err);
        assert_non_null(call);
        assert_int_equal(call->kind, cases[i].kind);
        api_call_close(&call);
    }
}

static void modelfiles(void **state)
{
    (void)state;
    case_reads("/api/create",
               "{'model':'n','from':'base','system':'s','parameters':{'top_k':5,"
               "'stop':['a','b']},'messages':[{'role':'user','content':'x'}],'stream':false}",
               "model=n\nmodel: n\nfrom: base\nsystem: s\nmessage.user: x\nparameter.top_k: 5\n"
               "parameter.stop: a\nparameter.stop: b\n");
    char *file = case_quotes("{\"model\":\"n\",\"modelfile\":\"# a comment\\nFROM ./a.gguf\\n\\n"
                             "PARAMETER temperature 0.7\\nPARAMETER stop \\\"<end>\\\"\\nSYSTEM "
                             "\\\"\\\"\\\"one\\ntwo\\\"\\\"\\\"\\nADAPTER x.gguf\\r\\n\"}");
    case_reads("/api/create", file,
               "model=n\nstream=2\nmodel: n\nfrom: ./a.gguf\nparameter.temperature: 0.7\n"
               "parameter.stop: <end>\nsystem: one\ntwo\nadapter: x.gguf\n");
    mem_free(file);
    case_refuses("/api/create", "{'model':'n'}", 400, "from", "missing");
    case_refuses("/api/create", "{'model':'n','modelfile':'FROM a\\nNONSENSE b'}", 400, "modelfile",
                 "line 2: unknown word \"NONSENSE\"");
    case_refuses("/api/create", "{'model':'n','modelfile':'FROM'}", 400, "modelfile", "line 1");
    case_reads("/api/copy", "{'source':'a','destination':'b'}", "source: a\ndestination: b\n");
    case_refuses("/api/copy", "{'source':'a'}", 400, "destination", "missing");
    case_reads("DELETE /api/delete", "{'name':'a'}", "model=a\nmodel: a\n");
    case_reads("/api/show", "{'model':'a','verbose':true}", "model=a\nmodel: a\n");
}

static void llama(void **state)
{
    (void)state;
    case_reads("/completion",
               "{'prompt':[1,'a',2,3],'n_predict':5,'temperature':-1,'seed':-1,'n_probs':3,"
               "'logit_bias':[[4,1.5],[5,false]],'cache_prompt':false,'grammar':'root ::= []'}",
               "prompt[0]=#1|a|#2,3\ngreedy=1\nbias[4]=1.5\nbias[5]=-inf\nmax=5\ntop=3\nhold=gbnf\n"
               "hold_text=root ::= []\nno_cache=1\n");
    case_reads("/completion", "{'prompt':['a','b'],'stream':true}",
               "stream=1\nprompt[0]=a\nprompt[1]=b\n");
    case_reads("/infill",
               "{'input_prefix':'a','input_suffix':'b','prompt':'c','input_extra':[{'filename':'f',"
               "'text':'t'}]}",
               "prompt[0]=c\nprefix=a\ninfill=b\nextra=f:t\n");
    case_reads("/tokenize", "{'content':'a'}", "prompt[0]=a\n");
    case_reads("/detokenize", "{'tokens':[1,2]}", "prompt[0]=#1,2\n");
    case_reads("/apply-template", "{" HI "}", SAID);
    case_refuses("/completion", "{'prompt':{'prompt_string':'a'}}", 400, "prompt", "pictures");
    case_refuses("/completion", "{'prompt':'a','mirostat':1}", 400, "mirostat", "2 is");
    case_refuses("/completion", "{'prompt':'a','n_probs':99}", 400, "n_probs", "0 to 20");
    case_refuses("/infill", "{'input_prefix':'a'}", 400, "input_suffix", "missing");
    case_refuses("/detokenize", "{'tokens':['a']}", 400, "tokens", "token's id");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(anthropic),
        cmocka_unit_test(anthropic_refusals),
        cmocka_unit_test(billing_line_is_left_out),
        cmocka_unit_test(ollama),
        cmocka_unit_test(ollama_loads),
        cmocka_unit_test(modelfiles),
        cmocka_unit_test(llama),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
