# Texts as systemd and Podman read them: wildcards, paths of a container, specifiers, quoted words.
{ lib }:
rec {
  # Whether a text matches a pattern in which `*` stands for any run of characters, and nothing else is special.
  matchesWildcard =
    pattern: text:
    builtins.match (lib.concatMapStringsSep ".*" lib.escapeRegex (lib.splitString "*" pattern)) text != null;

  # A path as a container sees it, without `.` and doubled slashes; null if it is not absolute or has `..`.
  containerPath =
    text:
    let
      names = lib.filter (name: name != "" && name != ".") (lib.splitString "/" text);
    in
    if !lib.hasPrefix "/" text || lib.elem ".." names then null else "/" + lib.concatStringsSep "/" names;

  # Whether a path is another one or lies below it. Both as `containerPath` returns them.
  isWithin = outer: path: outer == "/" || path == outer || lib.hasPrefix "${outer}/" path;

  # Where a path lies below another one: empty if it is the same.
  below =
    outer: path: if path == outer then "" else lib.removePrefix (if outer == "/" then "/" else "${outer}/") path;

  # A path and what lies below it; `.` and the empty text are the path itself.
  join =
    path: rest:
    if rest == "" || rest == "." then
      path
    else if path == "/" then
      "/${rest}"
    else
      "${path}/${rest}";

  depth = path: lib.length (lib.filter (name: name != "") (lib.splitString "/" path));

  # Podman's own rule for the names of containers and volumes.
  isContainerName = text: builtins.match "[a-zA-Z0-9][a-zA-Z0-9_.-]*" text != null;

  # A text in which `%h`, `%S`, `%C`, `%E` are the folders they stand for in a user's units and `%%` is `%`:
  # { text = …; }, or { specifier = "t"; } for one whose value only a running manager knows.
  expand =
    environment: text:
    let
      folders = {
        h = environment.home;
        S = environment.stateHome;
        C = environment.cacheHome;
        E = environment.configHome;
        "%" = "%";
      };
      step =
        state: c:
        if state ? specifier then
          state
        else if state.open then
          if folders ? ${c} then
            {
              text = state.text + folders.${c};
              open = false;
            }
          else
            { specifier = c; }
        else if c == "%" then
          state // { open = true; }
        else
          state // { text = state.text + c; };
      end = lib.foldl' step {
        text = "";
        open = false;
      } (lib.stringToCharacters text);
    in
    if end ? specifier then end else { text = end.text + lib.optionalString end.open "%"; };

  # A text in which `$NAME` and `${NAME}` are the values that are known; others stay as they are.
  expandVariables =
    values: text:
    lib.concatStrings (
      map (part: if lib.isList part then values.${lib.last part} or (lib.head part) else part) (
        builtins.split "([$][{]?([A-Za-z_][A-Za-z0-9_]*)[}]?)" text
      )
    );

  # A path as one word of a unit's list of paths (`RequiresMountsFor=`).
  unitPath =
    path:
    let
      escaped = lib.replaceStrings [ "%" "\\" "\"" ] [ "%%" "\\\\" "\\\"" ] path;
    in
    if builtins.match "[^[:space:]'\"\\]+" path != null then escaped else "\"${escaped}\"";

  # The words of a value: separated by white space, quoted by `"` or `'`, with C-like escapes (systemd.syntax(7)).
  words =
    text:
    let
      escapes = {
        n = "\n";
        t = "\t";
        s = " ";
        "\\" = "\\";
        "\"" = "\"";
        "'" = "'";
        " " = " ";
      };
      unhex =
        digits:
        let
          isAscii = builtins.match "[0-7][0-9a-fA-F]" digits != null && digits != "00";
        in
        if isAscii then builtins.fromJSON ''"\u00${digits}"'' else "\\x${digits}";
      add = state: c: state // { word = (if state.word == null then "" else state.word) + c; };
      plain = state: state // { mode = ""; };
      finish =
        state:
        if state.word == null then
          state
        else
          state
          // {
            done = state.done ++ [ state.word ];
            word = null;
          };
      step =
        state: c:
        if state.mode == "escape" then
          if c == "x" then
            state
            // {
              mode = "hex";
              digits = "";
            }
          else
            plain (add state (escapes.${c} or "\\${c}"))
        else if state.mode == "hex" then
          if state.digits == "" then state // { digits = c; } else plain (add state (unhex (state.digits + c)))
        else if c == "\\" then
          add state "" // { mode = "escape"; }
        else if state.quote != null then
          if c == state.quote then state // { quote = null; } else add state c
        else if c == "\"" || c == "'" then
          add state "" // { quote = c; }
        else if
          lib.elem c [
            " "
            "\t"
            "\n"
            "\r"
          ]
        then
          finish state
        else
          add state c;
      read = lib.foldl' step {
        done = [ ];
        word = null;
        quote = null;
        mode = "";
        digits = "";
      } (lib.stringToCharacters text);
      end =
        if read.mode == "escape" then
          add read "\\"
        else if read.mode == "hex" then
          add read "\\x${read.digits}"
        else
          read;
    in
    (finish end).done;
}
