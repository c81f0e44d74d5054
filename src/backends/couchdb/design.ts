/**
 * The indexes of a month's database. Their document's name ends in a number that is raised with any change of them,
 * so that programs of two versions do not rebuild each other's.
 */
export const DESIGN_ID = '_design/nonstick-2'

/** CouchDB's own language for indexes; each `map` sees every document that changed. */
const ENDS = `function (doc) {
  var end = doc.kind === 'session' ? doc.expiresAt : doc.keepUntil
  if (typeof end === 'number') emit(end, [doc.kind, doc._rev])
}`

const LIVING = `function (doc) {
  if (doc.kind === 'session') emit([doc._id.split(':')[1], doc.expiresAt], null)
}`

/** Beside the map function, what it does in this program: the place of a document among the keys of the index. */
export const orderOf = (id: string): string =>
  [...id].map((character) => character.charCodeAt(0).toString(16).padStart(2, '0')).join('')

/** Hexadecimal, since CouchDB orders texts as a dictionary does, and ids are to be in the order of their characters. */
const SESSIONS = `function (doc) {
  if (doc.kind !== 'session') return
  var order = ''
  for (var at = 0; at < doc._id.length; at++) {
    var code = doc._id.charCodeAt(at).toString(16)
    order += code.length < 2 ? '0' + code : code
  }
  emit(order, doc.expiresAt)
}`

export const DESIGN: Readonly<Record<string, unknown>> = {
  language: 'javascript',
  views: {
    /** What ends when, for `purge`. */
    ends: { map: ENDS, reduce: '_count' },
    /** How many sessions of a namespace live, for `count`. */
    living: { map: LIVING, reduce: '_count' },
    /** Which sessions there are, and until when, for `list`: tombstones cost it nothing. */
    sessions: { map: SESSIONS },
  },
}
