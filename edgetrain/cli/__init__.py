"""The command line: a module a verb, registered in `edgetrain.cli.app`."""
