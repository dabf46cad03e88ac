"""The command line: cwltool's options, then the sub-commands. What a person types and sees."""
