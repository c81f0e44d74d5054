import { randomBytes } from 'node:crypto'
import { type Program, startProgram } from '../shutdown/programs.js'

/** A program of a page, which serves. Disposing of it stops it. */
export interface Serving extends AsyncDisposable {
  readonly url: string
  readonly program: Program
}

/** Variables of the tests' own, which are none of the library's. */
const OURS = Object.keys(process.env).filter((name) => name.startsWith('NONSTICK_'))

/** Starts a program of `docs/examples`, which keeps its sessions in its own memory. */
export const serving = async (file: string): Promise<Serving> => {
  const program = startProgram(file, {
    ...Object.fromEntries(OURS.map((name) => [name, undefined])),
    ...{ PORT: '0', NONSTICK_CACHE: 'memory', NONSTICK_BACKEND: 'memory' },
    SESSION_SECRET: randomBytes(32).toString('base64'),
  })
  const [listening] = await program.prints(/listening on .*port: (\d+)/)
  return {
    url: `http://127.0.0.1:${listening?.[1]}`,
    program,
    [Symbol.asyncDispose]: async () => await program.stop(),
  }
}
