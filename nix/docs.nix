{ writeText, home-manager }: writeText "aidb-options.md" "to be written\n"
