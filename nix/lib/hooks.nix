# The lines by which units call the tools. They are a promise (units of an older generation call the tools of a newer
# one): a line that once stood in a unit keeps working, and a change here restarts every guarded container once.
{ lib }:
let
  tools = "%E/aidb/bin";
  # A guard's names are those of containers, so that no argument needs quoting.
  names = lib.concatStringsSep " ";
  # A hook obeys status 1 only: a missing tool, bad settings or a crash never keep a container down.
  obey = command: "/bin/sh -c '${command} || [ $$? -ne 1 ]'";
in
rec {
  inherit tools;

  check = guards: obey "${tools}/aidb-precheck check --at start ${names guards}";

  migrate =
    guard: store: folder:
    obey "${tools}/aidb-init-verify migrate ${guard} ${store} --from ${folder}";

  keep = guards: "-${tools}/aidb-snapshot take --reason stop --unproven --deadline 20s ${names guards}";

  verify = unit: "aidb-verify@${lib.removeSuffix ".service" unit}.service";

  alert = "aidb-alert@%n.service";

  # What was kept at a stop is opened and checked right after it, at low priority.
  prove = "aidb-prove.service";

  # The user's `extraConfig` of a container with the hooks of its guards. What the user wrote, as a text, a list or by
  # mkForce, is still there; ours runs first before a start and at a stop, and last once the container is gone.
  withHooks =
    {
      guards, # names, in order
      unit, # of the container
      prepare ? [ ], # commands of the user that come before the check
      migrations ? [ ], # { guard; store; folder; }
      mountsFor ? [ ], # folders of the host for whose mounts the unit has to wait
    }:
    user:
    let
      service = user.Service or { };
      ofUnit = user.Unit or { };
      listOf = section: key: lib.filter (line: line != null) (lib.toList (section.${key} or [ ]));
      # An empty line forgets all before it: ours stand after the last one.
      first =
        ours: lines:
        let
          after = lib.foldl' (after: line: if line == "" then [ ] else after ++ [ line ]) [ ] lines;
        in
        lib.take (lib.length lines - lib.length after) lines ++ ours ++ after;
    in
    # Which sections there are depends on nothing, so that guards may be derived from another one.
    user
    // lib.mapAttrs (section: ours: if guards == [ ] then user.${section} or { } else ours) {
      Unit = ofUnit // {
        Wants = [ (verify unit) ] ++ listOf ofUnit "Wants";
        OnFailure = [ alert ] ++ listOf ofUnit "OnFailure";
        OnSuccess = [ prove ] ++ listOf ofUnit "OnSuccess";
      }
      // lib.optionalAttrs (mountsFor != [ ]) {
        RequiresMountsFor = mountsFor ++ listOf ofUnit "RequiresMountsFor";
      };
      Service = {
        RestartMode = "direct";
        TimeoutStopSec = 60;
      }
      # A migration has ten minutes for each file; the manager's 90 seconds for a whole start would end it, again and again.
      // lib.optionalAttrs (migrations != [ ]) { TimeoutStartSec = 1800; }
      // service
      // {
        ExecStartPre = first (
          prepare ++ [ (check guards) ] ++ map (m: migrate m.guard m.store m.folder) migrations
        ) (listOf service "ExecStartPre");
        ExecStop = first [ (keep guards) ] (listOf service "ExecStop");
        ExecStopPost = listOf service "ExecStopPost" ++ [ (keep guards) ];
        # An application that does not handle TERM ends like this at an ordinary stop.
        SuccessExitStatus = first [ "137 143" ] (listOf service "SuccessExitStatus");
      };
    };
}
