import { readdir, readFile, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { codeIn } from '../../errors.js'
import { UsageError } from '../exits.js'
import { type Item, placeIn, type Source, type SourceOptions } from './source.js'

/** One file of a folder. */
export interface FoundFile {
  /** Its path within the folder. */
  readonly ref: string
  /** Its name alone. */
  readonly name: string
  readonly bytes: Buffer
  /** When it was last written, in ms since 1970. */
  readonly writtenAt: number
}

const FILES_AT_ONCE = 200

/** The codes of what is wrong with one file alone. Whatever else fails, such as a disk, ends the command. */
const OF_ONE_FILE: ReadonlySet<string | undefined> = new Set([
  'EACCES',
  'EISDIR',
  'ELOOP',
  'EPERM',
  'ERR_FS_FILE_TOO_LARGE',
])

/**
 * A source that is the files of a folder and of the folders in it.
 *
 * @param isSession whether a name is that of a session's file
 * @throws UsageError where the folder cannot be read
 */
export const filesOf = async (
  { at }: SourceOptions,
  isSession: (name: string) => boolean,
  itemOf: (file: FoundFile) => Item,
): Promise<Source> => {
  let names: readonly string[] | undefined
  /** The names alone are kept: a hundred thousand of them are some megabytes. */
  const all = async (): Promise<readonly string[]> => {
    names ??= (await listed(at, isSession)).sort()
    return names
  }
  try {
    await readdir(at)
  } catch (cause) {
    throw new UsageError(`Expected --at to be a folder that can be read: ${codeIn(cause) ?? 'it cannot be read'}`, {
      cause,
    })
  }
  return {
    count: async () => (await all()).length,
    page: async (after) => {
      const paths = await all()
      const from = after === undefined ? 0 : firstAfter(paths, after)
      const chosen = paths.slice(from, from + FILES_AT_ONCE)
      const found = await Promise.all(chosen.map((ref) => read(at, ref, itemOf)))
      const last = chosen.at(-1)
      const next = from + chosen.length < paths.length ? last : undefined
      return {
        items: found.filter((item) => item !== undefined),
        next,
        resumeAt: next === undefined ? undefined : placeIn(next),
      }
    },
    remove: async (refs) => void (await Promise.all(refs.map((ref) => rm(join(at, ref), { force: true })))),
    close: async () => {},
  }
}

const nameIn = (path: string): string => path.slice(path.lastIndexOf('/') + 1)

const firstAfter = (sorted: readonly string[], after: string): number => {
  const at = sorted.findIndex((path) => path > after)
  return at === -1 ? sorted.length : at
}

/** What stands in one file; `undefined` where it has ended meanwhile. */
const read = async (at: string, ref: string, itemOf: (file: FoundFile) => Item): Promise<Item | undefined> => {
  const path = join(at, ref)
  try {
    const about = await stat(path)
    // What a link leads to may be anything, and a pipe would never come to an end.
    if (!about.isFile() && !about.isDirectory()) return { ref, unreadable: 'it is no file' }
    return itemOf({ ref, name: nameIn(ref), bytes: await readFile(path), writtenAt: about.mtimeMs })
  } catch (error) {
    const code = codeIn(error)
    if (code === 'ENOENT') return undefined
    if (!OF_ONE_FILE.has(code)) throw error
    return { ref, unreadable: `it cannot be read: ${code}` }
  }
}

/**
 * The paths of the files with a session's name, within the folder `at`. A folder in it that cannot be read stands among them,
 * so that it is told as what cannot be read.
 */
const listed = async (at: string, isSession: (name: string) => boolean, within = ''): Promise<string[]> => {
  const paths: string[] = []
  for (const entry of await readdir(join(at, within), { withFileTypes: true })) {
    const path = `${within}${entry.name}`
    if (!entry.isDirectory()) {
      if ((entry.isFile() || entry.isSymbolicLink()) && isSession(entry.name)) paths.push(path)
      continue
    }
    try {
      for (const found of await listed(at, isSession, `${path}/`)) paths.push(found)
    } catch (error) {
      const code = codeIn(error)
      if (code === 'ENOENT') continue
      if (!OF_ONE_FILE.has(code)) throw error
      paths.push(path)
    }
  }
  return paths
}
