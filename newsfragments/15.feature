``txmirror.configuration`` loads the configuration of the registration daemon from TOML: one file or a folder, with services, health
checks, defaults and placeholders. It reports all errors at once, with file and place. It needs the package cattrs.
