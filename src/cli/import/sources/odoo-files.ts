import { filesOf } from '../folder-files.js'
import { lifeSince } from '../life.js'
import { pickledOrJson } from '../python.js'
import type { Item, SourceKind } from '../source.js'

/** How long Odoo keeps a file of a session that nobody uses. */
const ODOO_TTL_MS = 7 * 86_400_000
const NAME = /^(?:werkzeug_)?(.+)\.sess$/

/** Odoo's own files: a pickle in older versions, JSON in newer ones; flat, or in folders by the first two letters. */
export const odooFiles: SourceKind = {
  summary: 'the session files of Odoo itself: the folder `sessions` of its data_dir',
  at: 'folder',
  open: (options) =>
    filesOf(
      options,
      (name) => NAME.test(name),
      ({ ref, name, bytes, writtenAt }): Item => {
        // A file that has ended is removed from there, so it is read before: it may be of another program.
        const read = pickledOrJson(bytes)
        if ('unreadable' in read) return { ref, ...read }
        const { idleTtlMs = ODOO_TTL_MS, runtime } = options
        const lived = lifeSince({ seenAt: Math.floor(writtenAt) }, idleTtlMs, runtime.now())
        if (!('life' in lived)) return { ref, ...lived }
        return { ref, id: NAME.exec(name)?.[1] ?? '', session: { data: read.data, ...lived.life } }
      },
    ),
}
