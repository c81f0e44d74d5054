import { readdir, readFile, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { codeIn } from '../../errors.js'
import { UsageError } from '../exits.js'
import type { Item, Source, SourceOptions } from './source.js'

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
/** So many of its first characters tell where a name stands among others, and are far too few to make an id of. */
const PLACE_CHARACTERS = 6

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
    names ??= (await listed(at)).filter((path) => isSession(nameIn(path))).sort()
    return names
  }
  await listed(at, false)
  return {
    count: async () => (await all()).length,
    page: async (after) => {
      const paths = await all()
      const from = after === undefined ? 0 : firstAfter(paths, after)
      const chosen = paths.slice(from, from + FILES_AT_ONCE)
      const found = await Promise.all(
        chosen.map(async (ref) => {
          const path = join(at, ref)
          const read = await Promise.all([readFile(path), stat(path)]).catch((error: unknown) => {
            if (codeIn(error) === 'ENOENT') return undefined // it has ended meanwhile
            throw error
          })
          return read && itemOf({ ref, name: nameIn(ref), bytes: read[0], writtenAt: read[1].mtimeMs })
        }),
      )
      const last = chosen.at(-1)
      const next = from + chosen.length < paths.length ? last : undefined
      return { items: found.filter((item) => item !== undefined), next, resumeAt: next?.slice(0, PLACE_CHARACTERS) }
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

const listed = async (at: string, isDeep = true): Promise<readonly string[]> => {
  try {
    return (await readdir(at, { recursive: isDeep })).map((path) => path.replaceAll('\\', '/'))
  } catch (cause) {
    throw new UsageError(`Expected --at to be a folder that can be read: ${codeIn(cause) ?? 'it cannot be read'}`, {
      cause,
    })
  }
}
