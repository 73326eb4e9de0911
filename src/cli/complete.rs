//! `completions`: scripts that complete commands, options and files in a shell, from the table of commands.

use crate::cli::args::{Args, Command, is_path};
use crate::cli::failure::Result;
use crate::cli::output::Output;

pub(crate) const COMPLETIONS: Command = Command {
    name: "completions",
    operands: "SHELL",
    options: &[],
    about: "print what makes bash, zsh or fish complete commands",
    examples: [
        "source <(shelflife completions bash)",
        "shelflife completions fish > ~/.config/fish/completions/shelflife.fish",
    ],
    notes: "For zsh: shelflife completions zsh > _shelflife, in a folder of $fpath.",
    run: completions,
};

const SHELLS: &[&str] = &["bash", "zsh", "fish"];

fn completions(args: &mut Args, output: &mut Output) -> Result<()> {
    let shell = args.required("SHELL")?;
    let script = match shell.to_str() {
        Some("bash") => bash(args.commands),
        Some("zsh") => zsh(args.commands),
        Some("fish") => fish(args.commands),
        _ => return Err(args.wrong(&format!("SHELL is one of {}", SHELLS.join(", ")))),
    };
    output.bytes(script.as_bytes())
}

/// The first words, each once: commands, and groups of commands.
fn first_words(commands: &'static [Command]) -> Vec<(&'static str, &'static str)> {
    let mut words: Vec<(&str, &str)> = Vec::new();
    for command in commands {
        match command.name.split_once(' ') {
            None => words.push((command.name, command.about)),
            Some((group, _)) if words.iter().any(|(word, _)| *word == group) => {}
            Some((group, _)) => words.push((group, "browse and end sessions")),
        }
    }
    words
}

/// The second words of a group.
fn second_words(commands: &'static [Command], group: &str) -> Vec<(&'static str, &'static str)> {
    let of_group = |command: &'static Command| {
        let (first, second) = command.name.split_once(' ')?;
        (first == group).then_some((second, command.about))
    };
    commands.iter().filter_map(of_group).collect()
}

fn groups(commands: &'static [Command]) -> Vec<&'static str> {
    let words = first_words(commands).into_iter().map(|(word, _)| word);
    words
        .filter(|word| !second_words(commands, word).is_empty())
        .collect()
}

/// The words that an operand can be, if they are a fixed set.
fn choices(command: &Command, commands: &'static [Command]) -> Vec<&'static str> {
    match command.name {
        "completions" => SHELLS.to_vec(),
        "help" => first_words(commands)
            .into_iter()
            .map(|(word, _)| word)
            .collect(),
        _ => Vec::new(),
    }
}

fn takes_files(command: &Command) -> bool {
    command.operands.split_whitespace().any(is_path)
}

fn names(words: &[(&'static str, &'static str)]) -> String {
    let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
    names.join(" ")
}

fn bash(commands: &'static [Command]) -> String {
    let mut script = format!(
        "# bash completion for shelflife\n\
         _shelflife_files() {{\n    \
             local name\n    \
             # What is typed may be quoted, which bash itself reads.\n    \
             compopt -o filenames -o default 2>/dev/null\n    \
             while IFS= read -r name; do COMPREPLY+=(\"$name\"); done < <(compgen -f -- \"$word\")\n\
         }}\n\
         _shelflife() {{\n    \
             local word=\"${{COMP_WORDS[COMP_CWORD]}}\" before=\"${{COMP_WORDS[COMP_CWORD-1]}}\"\n    \
             local command=\"${{COMP_WORDS[1]}}\" options= words= files=\n    \
             COMPREPLY=()\n    \
             if [ \"$COMP_CWORD\" = 1 ]; then\n        \
                 COMPREPLY=($(compgen -W \"{} --help --version\" -- \"$word\"))\n        \
                 return\n    \
             fi\n    \
             case $command in\n",
        names(&first_words(commands))
    );
    for group in groups(commands) {
        script.push_str(&format!(
            "    {group})\n        \
                 if [ \"$COMP_CWORD\" = 2 ]; then\n            \
                     COMPREPLY=($(compgen -W \"{} --help\" -- \"$word\"))\n            \
                     return\n        \
                 fi\n        \
                 command=\"$command ${{COMP_WORDS[2]}}\"\n        \
                 ;;\n",
            names(&second_words(commands, group))
        ));
    }
    script.push_str("    esac\n    case $command in\n");
    for command in commands {
        let options: Vec<&str> = command.options.iter().map(|option| option.name).collect();
        let valued = |is_file: bool| -> Vec<&str> {
            command
                .options
                .iter()
                .filter(|option| !option.value.is_empty() && is_path(option.value) == is_file)
                .map(|option| option.name)
                .collect()
        };
        script.push_str(&format!("    '{}')\n", command.name));
        for (names, does) in [
            (valued(true), "_shelflife_files; return"),
            (valued(false), "return"),
        ] {
            if !names.is_empty() {
                script.push_str(&format!(
                    "        case $before in {}) {does} ;; esac\n",
                    names.join("|")
                ));
            }
        }
        script.push_str(&format!(
            "        options=\"{}\" words=\"{}\" files={}\n        ;;\n",
            [options, vec!["--help"]].concat().join(" "),
            choices(command, commands).join(" "),
            if takes_files(command) { "yes" } else { "" },
        ));
    }
    script.push_str(
        "    esac\n    \
         case $word in\n    \
         -*) COMPREPLY=($(compgen -W \"$options\" -- \"$word\")) ;;\n    \
         *)\n        \
             if [ -n \"$words\" ]; then COMPREPLY=($(compgen -W \"$words\" -- \"$word\")); fi\n        \
             if [ -n \"$files\" ]; then _shelflife_files; fi\n        \
             ;;\n    \
         esac\n\
         }\n\
         complete -F _shelflife shelflife\n",
    );
    script
}

/// Text between single quotes, in which zsh and its `_arguments` read no sign of their own.
fn zsh_word(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace(':', "\\:");
    let text = text.replace('[', "\\[").replace(']', "\\]");
    text.replace('\'', r"'\''")
}

fn zsh(commands: &'static [Command]) -> String {
    let described = |words: &[(&str, &str)]| -> String {
        let lines = words
            .iter()
            .map(|(word, about)| format!("        '{word}:{}'\n", zsh_word(about)));
        lines.collect()
    };
    let mut script = format!(
        "#compdef shelflife\n\
         # zsh completion for shelflife\n\
         _shelflife() {{\n    \
             local command=$words[2]\n    \
             local -a known\n    \
             if (( CURRENT == 2 )); then\n        \
                 known=(\n{}        )\n        \
                 _describe command known\n        \
                 return\n    \
             fi\n    \
             case $command in\n",
        described(&first_words(commands))
    );
    for group in groups(commands) {
        script.push_str(&format!(
            "    {group})\n        \
                 if (( CURRENT == 3 )); then\n            \
                     known=(\n{}            )\n            \
                     _describe command known\n            \
                     return\n        \
                 fi\n        \
                 command=\"$command $words[3]\"\n        \
                 shift words\n        \
                 (( CURRENT-- ))\n        \
                 ;;\n",
            described(&second_words(commands, group))
        ));
    }
    script.push_str("    esac\n    shift words\n    (( CURRENT-- ))\n    case $command in\n");
    for command in commands {
        script.push_str(&format!("    '{}')\n        _arguments", command.name));
        for option in command.options {
            let action = match (option.value, is_path(option.value)) {
                ("", _) => String::new(),
                (value, true) => format!(":{value}:_files"),
                (value, false) => format!(":{}: ", zsh_word(value)),
            };
            script.push_str(&format!(
                " \\\n            '{}[{}]{action}'",
                option.name,
                zsh_word(option.about)
            ));
        }
        let choices = choices(command, commands);
        let rest = match (choices.is_empty(), takes_files(command)) {
            (true, true) => "_files".to_string(),
            (true, false) => " ".to_string(),
            (false, _) => format!("({})", choices.join(" ")),
        };
        // One colon: with two, an option behind an operand is none for zsh.
        script.push_str(&format!(
            " \\\n            '--help[explain it]' \\\n            '*:word:{rest}'\n        ;;\n"
        ));
    }
    script.push_str(
        "    esac\n\
         }\n\
         if [ \"$funcstack[1]\" = _shelflife ]; then\n    \
             _shelflife \"$@\"\n\
         else\n    \
             compdef _shelflife shelflife\n\
         fi\n",
    );
    script
}

fn fish(commands: &'static [Command]) -> String {
    let quoted = |text: &str| text.replace('\\', r"\\").replace('\'', r"\'");
    let mut script = "# fish completion for shelflife\ncomplete -c shelflife -f\n".to_string();
    for (word, about) in first_words(commands) {
        script.push_str(&format!(
            "complete -c shelflife -n '__fish_is_nth_token 1' -a '{word}' -d '{}'\n",
            quoted(about)
        ));
    }
    for group in groups(commands) {
        for (word, about) in second_words(commands, group) {
            script.push_str(&format!(
                "complete -c shelflife -n '__fish_is_nth_token 2; and __fish_seen_subcommand_from {group}' -a '{word}' -d '{}'\n",
                quoted(about)
            ));
        }
    }
    for command in commands {
        let words = command.name.split(' ').count();
        let after = words + 1;
        let seen = format!(
            "test (count (commandline -opc)) -ge {after}; \
             and test (string join -- ' ' (commandline -opc)[2..{after}]) = '{}'",
            command.name
        )
        .replace('\'', "\"");
        for option in command.options {
            let flag = match option.name.strip_prefix("--") {
                Some(long) => format!("-l {long}"),
                None => format!("-s {}", option.name.trim_start_matches('-')),
            };
            let takes = match (option.value, is_path(option.value)) {
                ("", _) => "",
                (_, true) => " -r -F",
                (_, false) => " -x",
            };
            script.push_str(&format!(
                "complete -c shelflife -n '{seen}' {flag}{takes} -d '{}'\n",
                quoted(option.about)
            ));
        }
        if takes_files(command) {
            script.push_str(&format!("complete -c shelflife -n '{seen}' -F\n"));
        }
        for choice in choices(command, commands) {
            script.push_str(&format!(
                "complete -c shelflife -n '{seen}' -a '{choice}'\n"
            ));
        }
    }
    script
}
