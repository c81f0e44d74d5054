import { randomBytes } from 'node:crypto'
import { type Program, startProgram, WITHOUT_OURS } from '../shutdown/programs.js'

/** A program of a page, which serves. Disposing of it stops it. */
export interface Serving extends AsyncDisposable {
  readonly url: string
  readonly program: Program
}

/** Starts a program of `docs/examples`, which keeps its sessions in its own memory. */
export const serving = async (file: string): Promise<Serving> => {
  const program = startProgram(file, {
    ...WITHOUT_OURS,
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
