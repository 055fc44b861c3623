# stack.json and the tools, side by side where the units look for them.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.services.aidb;
  podman = config.services.podman;

  written = lib.filterAttrs (_: value: value != null && value != { });

  storeOf =
    store:
    if store == null then
      null
    else
      written {
        inherit (store)
          kind
          path
          optional
          contract
          ;
      };

  guardOf =
    _: guard:
    written {
      inherit (guard)
        container
        data
        mount
        preset
        exclude
        ;
      unit =
        if guard.unit != null then
          guard.unit
        else if cfg.internal.containers ? ${guard.container} then
          "podman-${guard.container}.service"
        else
          null;
      stores = lib.mapAttrs (_: storeOf) guard.stores;
      policy = written guard.policy;
      migrations = lib.mapAttrs (_: folder: "${folder}") guard.migrations;
    };

  stack = lib.recursiveUpdate (
    {
      schema = 1;
      inherit (cfg)
        vault
        state
        keep
        gate
        ;
      guards = lib.mapAttrs guardOf (lib.filterAttrs (_: guard: guard.enable) cfg.guards);
      notGuarded = cfg.internal.notGuarded;
      # A hook's PATH has almost nothing. `newuidmap` has privileges and is looked for in the system.
      programs = {
        systemctl = config.systemd.user.systemctlPath;
        unshare = lib.getExe' pkgs.util-linux "unshare";
      }
      // lib.optionalAttrs podman.enable { podman = lib.getExe' podman.package "podman"; };
    }
    // written { alert = written cfg.alert; }
    // lib.optionalAttrs cfg.offsite.enable { offsite = true; }
  ) cfg.settings;

  # A timer whose line systemd does not understand would never run, and say so in its journal alone.
  analyze = kind: option: value: ''
    ${lib.getExe' pkgs.systemd "systemd-analyze"} ${kind} -- ${lib.escapeShellArg value} > /dev/null \
      || { echo ${lib.escapeShellArg "services.aidb.${option}: expected a ${kind} of systemd (systemd.time(7)), found `${value}`"} >&2; exit 1; }
  '';
  calendars = lib.concatMapStrings (
    timer: lib.optionalString cfg.${timer}.enable (analyze "calendar" "${timer}.onCalendar" cfg.${timer}.onCalendar)
  ) [ "archive" "backup" "monitor" ];
  spans = lib.optionalString cfg.backup.enable (
    lib.optionalString (cfg.backup.onBoot != null) (analyze "timespan" "backup.onBoot" cfg.backup.onBoot)
    + analyze "timespan" "backup.randomizedDelay" cfg.backup.randomizedDelay
  );

  # What does not fit is told when the configuration is built, by the tool that will read it.
  checked =
    pkgs.runCommand "stack.json"
      {
        # No folder of this name need exist while this is built.
        HOME = config.home.homeDirectory;
        stack = (pkgs.formats.json { }).generate "stack.json" stack;
      }
      ''
        ${calendars}${spans}${cfg.package}/bin/aidb-precheck --config "$stack" settings
        cp "$stack" $out
      '';

  files = {
    "aidb/stack.json".source = checked;
    "aidb/bin".source = "${cfg.package}/bin";
  };
in
{
  config = lib.mkIf cfg.enable {
    services.aidb.internal = { inherit stack checked; };
    home.packages = [ cfg.package ];
    xdg.configFile = files;
    # Units look in the user manager's own configuration folder, which a variable set at login need not have reached.
    home.file = lib.mkIf (config.xdg.configHome != "${config.home.homeDirectory}/.config") (
      lib.mapAttrs' (path: lib.nameValuePair ".config/${path}") files
    );
  };
}
