/**
 * The indexes of a month's database. Their document's name ends in a number that is raised with any change of them,
 * so that programs of two versions do not rebuild each other's.
 */
export const DESIGN_ID = '_design/nonstick-1'

/** CouchDB's own language for indexes; each `map` sees every document that changed. */
const ENDS = `function (doc) {
  var end = doc.kind === 'session' ? doc.expiresAt : doc.keepUntil
  if (typeof end === 'number') emit(end, [doc.kind, doc._rev])
}`

const LIVING = `function (doc) {
  if (doc.kind === 'session') emit([doc._id.split(':')[1], doc.expiresAt], null)
}`

const USERS = `function (doc) {
  if (doc.kind === 'session' && typeof doc.userId === 'string') emit([doc._id.split(':')[1], doc.userId], null)
}`

export const DESIGN: Readonly<Record<string, unknown>> = {
  language: 'javascript',
  views: {
    /** What ends when, for `purge`. */
    ends: { map: ENDS, reduce: '_count' },
    /** How many sessions of a namespace live, for `count`. */
    living: { map: LIVING, reduce: '_count' },
    /** The sessions of a user. */
    users: { map: USERS, reduce: '_count' },
  },
}
