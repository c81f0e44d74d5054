import { createHash } from 'node:crypto'
import { readFile, rename, writeFile } from 'node:fs/promises'
import { codeIn } from '../../errors.js'
import { UsageError } from '../exits.js'
import type { Counts } from './copy.js'

/** How far an import is. Nobody is let in by what it says. */
interface State {
  readonly version: 1
  /** Which source it is of, as a hash: its URL may hold a password. */
  readonly source: string
  /** Where the next part begins; absent where nothing follows. */
  readonly at?: string
  readonly isDone: boolean
  readonly counts: Counts
}

/** A file that remembers how far an import is. */
export interface Resume {
  /** Where it stands; `undefined` where there is nothing yet, or where it was done: the next one begins anew. */
  readonly state: Pick<State, 'at' | 'counts'> | undefined
  keep(state: Pick<State, 'isDone' | 'counts'> & { readonly at: string | undefined }): Promise<void>
}

/** How one source is told from another. */
export const fingerprintOf = (parts: readonly (string | undefined)[]): string =>
  createHash('sha256').update(JSON.stringify(parts)).digest('base64url').slice(0, 22)

/** @throws UsageError where the file is of another source, or is none of these */
export const resumeIn = async (file: string | undefined, source: string): Promise<Resume> => {
  if (file === undefined) return { state: undefined, keep: async () => {} }
  return {
    state: await read(file, source),
    keep: async ({ at, isDone, counts }) => {
      const state: State = { version: 1, source, ...(at === undefined ? {} : { at }), isDone, counts }
      // Whoever is killed over it leaves the file before it, or the new one.
      await writeFile(`${file}.new`, JSON.stringify(state), { mode: 0o600 })
      await rename(`${file}.new`, file)
    },
  }
}

const read = async (file: string, source: string): Promise<State | undefined> => {
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (error) {
    if (codeIn(error) === 'ENOENT') return undefined
    throw new UsageError(`Expected --resume to be a file that can be read: ${codeIn(error) ?? 'it cannot be read'}`)
  }
  let state: Partial<State>
  try {
    state = JSON.parse(text) as Partial<State>
  } catch {
    state = {}
  }
  if (state.version !== 1)
    throw new UsageError('Expected --resume to be a file that an import has written, or none yet')
  if (state.source !== source)
    throw new UsageError('Expected --resume to be the file of this source: it was written by an import of another one')
  return state.isDone === true ? undefined : (state as State)
}
