# The volume points elsewhere after an edit: the start is held before the application makes an empty database there
fresh
webui_image 0.12.4
configuration one one-container
configuration elsewhere one-container --edit 's|ai/open-webui|ai/openwebui|'
fixture openwebui-0.12.4-large
switched one
webui_up
as_alice "systemctl --user stop $webui"
proven
before=$(guest chats)
as_alice 'mkdir ai/openwebui; switch generations/elsewhere'
held
never 'no container runs' 'podman container exists open-webui'
never 'no empty database was made' 'ls ai/openwebui/webui.db'
shows 'it says what is missing, and what was known' 'hold.*open-webui' 'journalctl --user -b -o cat -t podman-open-webui'
shows 'and where it is' 'until now its data was in `(~|/home/alice)/ai/open-webui`, which is still there' 'journalctl --user -b -o cat -t podman-open-webui'
shows 'a check by hand says the same' 'until now its data was in `(~|/home/alice)/ai/open-webui`, which is still there' 'aidb check open-webui'
expect 'the configuration is mended' 'switch generations/one'
webui_up
same 'and every chat is there' yes "$([ "$(guest chats)" -ge "$before" ] && echo yes)"
