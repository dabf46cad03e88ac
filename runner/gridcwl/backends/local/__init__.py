"""Jobs on this machine: in containers through the Docker SDK or a command-line engine, or as bare commands."""
