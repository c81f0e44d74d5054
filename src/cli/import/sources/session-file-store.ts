import { isPlainObject } from '../../../tools/is-plain-object.js'
import { expressItem, fromJson } from '../express-session.js'
import { filesOf } from '../folder-files.js'
import type { SourceKind } from '../source.js'

const ENDING = '.json'
/** How long session-file-store keeps a session whose cookie has no `maxAge`, unless its option `ttl` says otherwise. */
const USUAL_TTL_MS = 3_600_000

/** session-file-store: a file for each session, with `__lastAccess` beside the data. */
export const sessionFileStore: SourceKind = {
  summary: 'express-session on session-file-store',
  at: 'folder',
  open: (options) =>
    filesOf(
      options,
      (name) => name.endsWith(ENDING),
      ({ ref, name, bytes }) => {
        const read = fromJson(bytes.toString())
        if (!('value' in read)) return { ref, ...read }
        if (!isPlainObject(read.value)) return { ref, unreadable: 'it is no session: no object' }
        const { __lastAccess: usedAt, ...session } = read.value
        const cookie = session['cookie'] as { readonly originalMaxAge?: unknown } | undefined
        const maxAge = Number(cookie?.originalMaxAge) || options.idleTtlMs || USUAL_TTL_MS
        const { idleTtlMs, runtime } = options
        const expiresAt = typeof usedAt === 'number' ? usedAt + maxAge : undefined
        const id = name.slice(0, -ENDING.length)
        return expressItem(session, { ref, id, expiresAt, idleTtlMs, now: runtime.now() })
      },
    ),
}
