"""Starts `bantam serve` with two made-up models and lets the clients' own packages ask it:

    serve.py BUILD [--keep]

The packages (npm: openai, @anthropic-ai/sdk, ollama, ai, @ai-sdk/openai-compatible,
@langchain/openai; PyPI: openai, anthropic, ollama, litellm) are installed once into the user's
cache folder (bantam/clients), outside of the repository; node or a network that is missing is told
and fails. What they check is in serve_clients.py and serve_clients.mjs.
"""
import os
import re
import subprocess
import sys
import tempfile
import venv

sys.dont_write_bytecode = True
NPM = ["openai", "@anthropic-ai/sdk", "ollama", "ai", "@ai-sdk/openai-compatible",
       "@langchain/openai", "@langchain/core", "zod"]
PYPI = ["openai", "anthropic", "ollama", "litellm", "pydantic", "mcp"]  # litellm wants mcp
# Calls in Llama 3's form: at the start of an answer, so that a model that knows nothing makes one.
TEMPLATE = """{# <|start_header_id|> "parameters": #}{% if tools %}<|im_start|>system
Tools: {{ tools | tojson }}<|im_end|>
{% endif %}{% for m in messages %}<|im_start|>{{ m.role }}
{{ m.content }}{% for c in m.tool_calls or [] %}{{ c.function.name }}{% endfor %}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}
"""
HERE = os.path.dirname(os.path.abspath(__file__))


def packages():
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    folder = os.environ.get("BANTAM_CLIENTS") or os.path.join(cache, "bantam", "clients")
    os.makedirs(folder, exist_ok=True)
    python = os.path.join(folder, "pv", "bin", "python")
    if not os.path.exists(os.path.join(folder, "npm.done")):
        subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--prefix", folder] + NPM,
                       check=True, cwd=folder)
        open(os.path.join(folder, "npm.done"), "w").close()
    if not os.path.exists(os.path.join(folder, "pypi.done")):
        venv.create(os.path.join(folder, "pv"), with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-q"] + PYPI, check=True)
        open(os.path.join(folder, "pypi.done"), "w").close()
    return folder, python


def serve(build, folder):
    """The process and its address."""
    make = os.path.join(build, "tests", "support", "mkmodel")
    made, embed = os.path.join(folder, "made.gguf"), os.path.join(folder, "embed.gguf")
    subprocess.run([make, "llama", made, "--template", TEMPLATE, "--ctx", "4096"], check=True)
    subprocess.run([make, "bert", embed, "--ctx", "64"], check=True)
    environment = dict(os.environ, HOME=folder, XDG_CONFIG_HOME=folder, XDG_CACHE_HOME=folder,
                       XDG_DATA_HOME=folder, XDG_RUNTIME_DIR=folder)
    server = subprocess.Popen([os.path.join(build, "bantam"), "serve", "-m", made, "-m", embed,
                               "--port", "0", "-c", "2048"], stdout=subprocess.PIPE, text=True,
                              env=environment)
    for line in server.stdout:
        found = re.search(r"http://\S+", line)
        if found:
            return server, found.group(0).rstrip("/")
    sys.exit("bantam serve ended before it said where it listens")


def main():
    build = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else "build")
    packed, python = packages()
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        server, url = serve(build, folder)
        try:
            failed |= subprocess.run([python, os.path.join(HERE, "serve_clients.py"), url],
                                     check=False).returncode
            failed |= subprocess.run(["node", os.path.join(HERE, "serve_clients.mjs"), url, packed],
                                     check=False).returncode
        finally:
            server.terminate()
            server.wait(60)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
