import { fileURLToPath } from 'node:url'
import { type Ended, run } from '../backends/postgres/reload-support.js'

/** The command as it is built, and as npm links it into `node_modules/.bin`. */
export const COMMAND: string = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url))

export interface Given {
  readonly env?: Readonly<Record<string, string>>
  /** What the command finds on standard input. */
  readonly input?: string
}

/** Runs `nonstick` in a shell's place: without a terminal, and without what this process's environment says of tiers. */
export const nonstick = (args: readonly string[], given: Given = {}): Promise<Ended> =>
  run(process.execPath, [COMMAND, ...args], given)

/** What a command said in JSON. */
export const jsonOf = <Result>({ stdout }: Ended): Result => JSON.parse(stdout) as Result
