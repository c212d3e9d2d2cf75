module proletto_otel/tests/stack/standin

go 1.24
