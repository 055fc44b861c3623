# The gate before a switch changes anything, and what is said after it.
{
  config,
  lib,
  ...
}:
let
  cfg = config.services.aidb;
  tool = name: "${cfg.package}/bin/${name}";
  inherit (cfg.internal) checked foreign companionOf;
  systemctl = config.systemd.user.systemctlPath;
  # "UNIT GUARD", one a line.
  ofUnits = lib.mapAttrsToList (name: guard: "${guard.unit} ${name}") (
    lib.filterAttrs (_: guard: guard ? unit) cfg.internal.stack.guards
  );
in
{
  config = lib.mkIf cfg.enable {
    home.activation = {
      # The tools and settings of the generation that is to come: the links still lead to the old ones, or nowhere.
      # `checkLinkTargets` has found nothing in the way, and nothing is written yet.
      aidbGate = lib.hm.dag.entryBetween [ "writeBoundary" ] [ "checkLinkTargets" ] ''
        aidbGate() {
          local status=0 options=(--at switch --deadline 10s --to "$newGenPath")
          if [[ -n ''${oldGenPath:-} ]]; then options+=(--from "$oldGenPath"); fi
          if [[ -v DRY_RUN ]]; then options+=(--dry-run); fi
          # Far beyond its own deadline the gate is given up. Only its no counts, and it says why and how to go on.
          XDG_CONFIG_HOME=${lib.escapeShellArg config.xdg.configHome} timeout --kill-after 5 60 \
            ${tool "aidb-precheck"} --config ${checked} check "''${options[@]}" || status=$?
          if [[ $status == 1 && ! -v DRY_RUN ]]; then return 1; fi
        }
        if ! aidbGate; then exit 1; fi
      '';

      # A companion that is new starts with its unit, also if that is up already; without this it would wait for the
      # next start.
      aidbCompanions = lib.mkIf (foreign != { }) (
        lib.hm.dag.entryAfter [ "reloadSystemd" ] ''
          aidbCompanions() {
            local unit companion
            local -x XDG_RUNTIME_DIR=''${XDG_RUNTIME_DIR:-/run/user/$(id -u)}
            while read -r unit companion; do
              if ${systemctl} --user --quiet is-active "$unit" 2> /dev/null; then
                run ${systemctl} --user start --no-block "$companion" || true
              fi
            done <<< ${lib.escapeShellArg (lib.concatStringsSep "\n" (lib.mapAttrsToList (of: _: "${of} ${companionOf of}") foreign))}
          }
          aidbCompanions || true
        ''
      );

      # Says what is held now that the containers were started: a held start leaves its unit failed. It never fails a
      # switch that has happened.
      aidbHeld = lib.hm.dag.entryAfter [ "reloadSystemd" "podmanQuadletCleanup" ] ''
        aidbHeld() {
          local unit guard failed said status=0 guards=()
          local -x XDG_RUNTIME_DIR=''${XDG_RUNTIME_DIR:-/run/user/$(id -u)}
          if [[ -v DRY_RUN ]]; then return 0; fi
          failed=" $(${systemctl} --user list-units --state=failed --plain --no-legend --full 2> /dev/null | cut -d ' ' -f 1 | tr '\n' ' ') "
          while read -r unit guard; do
            if [[ $failed == *" $unit "* ]]; then guards+=("$guard"); fi
          done <<< ${lib.escapeShellArg (lib.concatStringsSep "\n" ofUnits)}
          if [[ ''${#guards[@]} == 0 ]]; then return 0; fi
          said=$(timeout --kill-after 5 20 ${tool "aidb-precheck"} --config ${checked} check --deadline 10s "''${guards[@]}") || status=$?
          if [[ $status == 1 ]]; then printf '%s\n' "$said"; fi
        }
        aidbHeld || true
      '';
    };
  };
}
