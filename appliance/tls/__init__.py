"""TLS for the edge: the server's certificate, where it comes from, and the folder nginx reads."""
