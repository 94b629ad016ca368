"""Chat templates of three families, in few words: how each shows tools, calls and results."""

from __future__ import annotations

from appliance.llama.tools import Style

HERMES = """
{%- if tools %}<|system|>You may call: {% for tool in tools %}{{ tool | tojson }}
{% endfor %}as <tool_call>{"name": ..., "arguments": ...}</tool_call><|end|>{% endif %}
{%- for m in messages %}
{%- if m.role == 'tool' %}<|user|><tool_response>{{ m.content }}</tool_response><|end|>
{%- else %}<|{{ m.role }}|>{{ m.content }}
{%- for call in m.tool_calls or [] %}<tool_call>{"name": "{{ call.function.name }}", "arguments":
{{- call.function.arguments | tojson }}}</tool_call>{% endfor %}<|end|>{% endif %}
{%- endfor %}<|assistant|>"""

LLAMA = """
{%- if tools %}<|system|>Environment: ipython. Answer with {"name": ..., "parameters": ...}.
{% for tool in tools %}{{ tool | tojson(indent=4) }}{% endfor %}<|end|>{% endif %}
{%- for m in messages %}
{%- if m.role == 'tool' %}<|user|>{{ m.content | tojson }}<|end|>
{%- elif m.tool_calls %}
{%- if m.tool_calls | length > 1 %}{{ raise_exception('one call at a time') }}{% endif %}
{%- set call = m.tool_calls[0].function %}<|assistant|>{"name": "{{ call.name }}", "parameters":
{{- call.arguments | tojson }}}<|end|>
{%- else %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endif %}
{%- endfor %}<|assistant|>"""

MISTRAL = """
{%- if tools %}[AVAILABLE_TOOLS]{{ tools | tojson }}[/AVAILABLE_TOOLS]{% endif %}
{%- for m in messages %}
{%- if m.role == 'tool' %}
{%- if m.tool_call_id | length != 9 %}{{ raise_exception('ids have nine characters') }}{% endif -%}
[TOOL_RESULTS]{"content": {{ m.content | tojson }}, "id": "{{ m.tool_call_id }}"}[/TOOL_RESULTS]
{%- elif m.tool_calls %}[TOOL_CALLS][{% for call in m.tool_calls %}{{ call.function | tojson }}
{%- if not loop.last %}, {% endif %}{% endfor %}]<|end|>
{%- else %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endif %}
{%- endfor %}<|assistant|>"""

FAMILIES: dict[Style, str] = {"hermes": HERMES, "llama": LLAMA, "mistral": MISTRAL}
