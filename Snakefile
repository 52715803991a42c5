"""The door: the sweep of workflow/Snakefile, configured by config/config.yaml or by --configfile."""

if not workflow.config_settings.configfiles:

    configfile: "config/config.yaml"


module nmf:
    snakefile:
        "workflow/Snakefile"
    config:
        config


use rule * from nmf


onstart:
    from nmfcore.adapters.tracking.following import start_following

    start_following(f"results/{config['name']}", **config["tracking"])


onsuccess:
    from pathlib import Path
    from nmfcore.adapters.closing import closing_words

    # Only a part of the sweep may have been asked for.
    if Path(f"results/{config['name']}/selection/recommendation.json").exists():
        print(closing_words(f"results/{config['name']}"))
