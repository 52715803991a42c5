"""The door: the sweep of workflow/Snakefile, configured by config/config.yaml or by --configfile."""

if not workflow.config_settings.configfiles:

    configfile: "config/config.yaml"


module nmf:
    snakefile:
        "workflow/Snakefile"
    config:
        config


use rule * from nmf


onsuccess:
    from nmfcore.adapters.closing import closing_words

    print(closing_words(f"results/{config['name']}"))
