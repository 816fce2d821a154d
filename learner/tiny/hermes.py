"""Hermes: a chat template in which tools, calls and results stand as Hermes models write them.

The form is that of NousResearch/Hermes-Function-Calling, which vLLM reads by
`--tool-call-parser hermes`. A call that comes back stands there byte for byte as it was written, so
that a prompt goes on from the tokens of the answer before it. Of a tool only the name is told: a
policy this small reads no schema.
"""

HERMES_TEMPLATE = (
    "{% if tools %}"
    "{{ '<|system|><tools>\\n' }}"
    "{% for tool in tools %}{{ tool['function']['name'] + '\\n' }}{% endfor %}"
    "{{ '</tools><|end|>\\n' }}"
    "{% endif %}"
    "{% for message in messages %}"
    "{{ '<|' + (message['role'] if message['role'] in ['user', 'assistant'] else 'system') + '|>' }}"
    "{% if message['role'] == 'tool' %}"
    "{{ '<tool_response>\\n' + message['content'] + '\\n</tool_response>' }}"
    "{% else %}{{ message['content'] or '' }}{% endif %}"
    "{% for call in message['tool_calls'] or [] %}"
    "{{ '\\n' if not loop.first else '' }}"
    "{{ '<tool_call>\\n{\"name\": ' + call['function']['name'] | tojson + ', \"arguments\": '"
    " + call['function']['arguments'] | tojson + '}\\n</tool_call>' }}"
    "{% endfor %}"
    "{{ '<|end|>\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
