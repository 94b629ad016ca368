"""Our engine process: llama.cpp behind an OpenAI-style API. No users, no database, no network."""
