import { Argument, Command } from 'commander'
import { say } from '../output.js'

const SHELLS = ['bash', 'zsh', 'fish'] as const
type Shell = (typeof SHELLS)[number]

const EXAMPLES = `
  bash   nonstick completion bash > /etc/bash_completion.d/nonstick
  zsh    nonstick completion zsh > "\${fpath[1]}/_nonstick"
  fish   nonstick completion fish > ~/.config/fish/completions/nonstick.fish`

/** `nonstick completion`: a script with which a shell completes commands and options. */
export const completionCommand = (): Command =>
  new Command('completion')
    .summary('print a script that completes commands in bash, zsh or fish')
    .description('Prints a script with which the shell completes the commands and options of nonstick.')
    .addArgument(new Argument('<shell>', 'the shell').choices(SHELLS))
    .addHelpText('after', EXAMPLES)
    .action((shell: Shell, _options: object, command: Command) =>
      say(SCRIPTS[shell](wordsOf(command.parent ?? command))),
    )

/** A command with what can follow it. */
interface Words {
  readonly name: string
  readonly summary: string
  readonly options: readonly { readonly flag: string; readonly description: string }[]
}

const wordsOf = (root: Command): readonly Words[] =>
  root.commands.map((command) => ({
    name: command.name(),
    summary: command.summary(),
    options: [
      ...command.options
        .filter(({ hidden }) => !hidden)
        .map(({ long, description }) => ({ flag: long ?? '', description: plain(description) })),
      { flag: '--help', description: 'show this help' },
    ],
  }))

/** A description without what a shell would take for its own. */
const plain = (description: string): string => (description.split(/[;:[(]/)[0] ?? '').replace(/['"`$\\]/g, '').trim()

const bash = (commands: readonly Words[]): string => `# bash completion of nonstick
_nonstick() {
  local word=\${COMP_WORDS[COMP_CWORD]} words=
  if [ "$COMP_CWORD" -eq 1 ]; then
    words="${commands.map(({ name }) => name).join(' ')} --help --version"
  else
    case \${COMP_WORDS[1]} in
${commands.map(({ name, options }) => `      ${name}) words="${[...options.map(({ flag }) => flag), ...argumentsOf(name)].join(' ')}" ;;`).join('\n')}
    esac
  fi
  COMPREPLY=($(compgen -W "$words" -- "$word"))
}
complete -o default -F _nonstick nonstick`

const argumentsOf = (name: string): readonly string[] => (name === 'completion' ? SHELLS : [])

const zsh = (commands: readonly Words[]): string => `#compdef nonstick
_nonstick() {
  local -a choices
  if (( CURRENT == 2 )); then
    choices=(
${commands.map(({ name, summary }) => `      '${name}:${plain(summary)}'`).join('\n')}
    )
    _describe command choices
    return
  fi
  case $words[2] in
${commands
  .map(
    ({ name, options }) => `    ${name})
      choices=(
${options.map(({ flag, description }) => `        '${flag}:${description}'`).join('\n')}
      ) ;;`,
  )
  .join('\n')}
  esac
  _describe option choices || _files
}
compdef _nonstick nonstick`

const fish = (commands: readonly Words[]): string =>
  [
    '# fish completion of nonstick',
    ...commands.map(
      ({ name, summary }) => `complete -c nonstick -n __fish_use_subcommand -f -a ${name} -d '${plain(summary)}'`,
    ),
    ...commands.flatMap(({ name, options }) =>
      options.map(
        ({ flag, description }) =>
          `complete -c nonstick -n '__fish_seen_subcommand_from ${name}' -l ${flag.slice(2)} -d '${description}'`,
      ),
    ),
    `complete -c nonstick -n '__fish_seen_subcommand_from completion' -f -a '${SHELLS.join(' ')}'`,
  ].join('\n')

const SCRIPTS: Readonly<Record<Shell, (commands: readonly Words[]) => string>> = { bash, zsh, fish }
