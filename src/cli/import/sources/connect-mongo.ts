import { type FileHandle, open } from 'node:fs/promises'
import { codeIn } from '../../../errors.js'
import { isPlainObject } from '../../../tools/is-plain-object.js'
import { UsageError } from '../../exits.js'
import { expressItem, fromJson } from '../express-session.js'
import type { Item, Source, SourceKind, SourceOptions } from '../source.js'

const DOCUMENTS_AT_ONCE = 500
/** No document of MongoDB is larger. */
const LARGEST = 16 * 1_024 * 1_024 + 16_384

/**
 * connect-mongo, as mongodump has written the collection to a file: documents one after the other, each with its length in
 * front, with the session as JSON or, with `stringify: false`, as it is.
 */
export const connectMongo: SourceKind = {
  summary: 'express-session on connect-mongo, from the file that mongodump makes (not of --gzip or --archive)',
  at: 'file',
  open: async ({ at, idleTtlMs, runtime }: SourceOptions): Promise<Source> => {
    const { deserialize } = await import('bson').catch((cause: unknown) => {
      throw new UsageError('Expected the package `bson` to be installed beside nonstick: npm install bson', { cause })
    })
    let file: FileHandle
    try {
      file = await open(at, 'r')
    } catch (cause) {
      throw new UsageError(`Expected --at to be a file that can be read: ${codeIn(cause) ?? 'it cannot be read'}`)
    }
    const { size } = await file.stat()
    return {
      count: async () => undefined,
      page: async (after) => {
        const items: Item[] = []
        let position = Number(after ?? 0)
        while (items.length < DOCUMENTS_AT_ONCE && position < size) {
          const bytes = await documentAt(file, position)
          items.push(itemOf(String(position), bytes, deserialize, { idleTtlMs, now: runtime.now() }))
          position += bytes.length
        }
        const next = position < size ? String(position) : undefined
        return { items, next, resumeAt: next }
      },
      remove: async () => {
        throw new UsageError('Expected a source that can be changed: what mongodump has written is a copy')
      },
      close: async () => await file.close(),
    }
  },
}

const documentAt = async (file: FileHandle, position: number): Promise<Buffer> => {
  const head = Buffer.alloc(4)
  const { bytesRead } = await file.read(head, 0, 4, position)
  const length = bytesRead === 4 ? head.readInt32LE() : 0
  if (length < 5 || length > LARGEST) throw notADump()
  const bytes = Buffer.alloc(length)
  if ((await file.read(bytes, 0, length, position)).bytesRead !== length) throw notADump()
  return bytes
}

const notADump = (): UsageError =>
  new UsageError(
    'Expected --at to be a whole file of mongodump, such as dump/app/sessions.bson: its documents end too soon',
  )

const itemOf = (
  ref: string,
  bytes: Buffer,
  deserialize: (bytes: Uint8Array) => Record<string, unknown>,
  place: { readonly idleTtlMs: number | undefined; readonly now: number },
): Item => {
  let document: Record<string, unknown>
  try {
    document = deserialize(bytes)
  } catch {
    return { ref, unreadable: 'it is no document that can be read' }
  }
  const { _id: id, expires, session } = document
  if (typeof id !== 'string') return { ref, unreadable: 'its _id is no text' }
  const read = typeof session === 'string' ? fromJson(session) : { value: session }
  if (!('value' in read)) return { ref, ...read }
  if (!isPlainObject(read.value)) return { ref, unreadable: 'it is encrypted, or no session of express-session' }
  const expiresAt = expires instanceof Date ? expires.getTime() : undefined
  return expressItem(read.value, { ref, id, expiresAt, ...place })
}
