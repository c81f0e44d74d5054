/** What the command prints. Results go to standard output, and whatever else is said goes to standard error. */

/** One line of a result. */
export const say = (line: string): void => console.log(line)

let isJsonSaid = false

/** The whole result of a command with `--json`: one line. */
export const sayJson = (result: unknown): void => {
  isJsonSaid = true
  say(JSON.stringify(result))
}

/** Why a command with `--json` has no result. Where the result has been printed, that one line stays the only one. */
export const sayErrorInJson = (error: { readonly code: string; readonly message: string }): void => {
  if (!isJsonSaid) sayJson({ error })
}

/** The result of a command: in JSON where that was asked for, and otherwise in lines for people. */
export const report = (
  { json }: { readonly json?: boolean },
  result: unknown,
  lines: () => readonly string[],
): void => {
  if (json === true) sayJson(result)
  else for (const line of lines()) say(line)
}

/** A sentence beside the result, in the name of a command: `nonstick purge: …`. */
export const warn = (command: string, sentence: string): void =>
  console.error(`${command === '' ? 'nonstick' : `nonstick ${command}`}: ${sentence}`)

/** Whether colours and bars can be shown: neither is where the output goes to a file, a pipe or a mail. */
export const isTerminal = (stream: NodeJS.WriteStream): boolean =>
  stream.isTTY === true && process.env['TERM'] !== 'dumb'

const wantsColour = (): boolean => isTerminal(process.stdout) && !process.env['NO_COLOR']

const coloured =
  (code: number) =>
  (text: string): string =>
    wantsColour() ? `\u001b[${code}m${text}\u001b[0m` : text

export const red: (text: string) => string = coloured(31)
export const green: (text: string) => string = coloured(32)
export const yellow: (text: string) => string = coloured(33)
export const bold: (text: string) => string = coloured(1)

/** Rows under their headings, each column as wide as its widest cell. */
export const table = (headings: readonly string[], rows: readonly (readonly string[])[]): string[] => {
  const widths = headings.map((heading, at) => Math.max(heading.length, ...rows.map((row) => (row[at] ?? '').length)))
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, at) => cell.padEnd(widths[at] ?? 0))
      .join('  ')
      .trimEnd()
  return [bold(line(headings)), ...rows.map(line)]
}

/** `3 h 20 min`, `45 s`: what people say of a duration. */
export const duration = (ms: number): string => {
  const seconds = Math.round(Math.abs(ms) / 1_000)
  const [days, hours, minutes] = [
    Math.floor(seconds / 86_400),
    Math.floor(seconds / 3_600) % 24,
    Math.floor(seconds / 60) % 60,
  ]
  if (days > 0) return hours > 0 ? `${days} d ${hours} h` : `${days} d`
  if (hours > 0) return minutes > 0 ? `${hours} h ${minutes} min` : `${hours} h`
  if (minutes > 0) return seconds % 60 > 0 ? `${minutes} min ${seconds % 60} s` : `${minutes} min`
  return `${seconds} s`
}

/** `1.4 MiB`: what people say of a size. */
export const size = (bytes: number): string => {
  if (bytes < 1_024) return `${bytes} B`
  const step = Math.min(Math.floor(Math.log2(bytes) / 10), 4)
  return `${(bytes / 1_024 ** step).toFixed(1)} ${['B', 'KiB', 'MiB', 'GiB', 'TiB'][step] ?? ''}`
}

/** A moment as a text that sorts, in UTC and to the second. */
export const moment = (atMs: number): string => new Date(atMs).toISOString().replace(/\.\d{3}Z$/, 'Z')
