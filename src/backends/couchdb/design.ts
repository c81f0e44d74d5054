import { HEADER } from './document.js'

/**
 * The indexes of a month's database. Their document's name ends in a number that is raised with any change of them,
 * so that programs of two versions do not rebuild each other's.
 */
export const DESIGN_ID = '_design/nonstick-3'

/** CouchDB's own language for indexes; each `map` sees every document that changed. */
const ENDS = `function (doc) {
  var end = doc.kind === 'session' ? doc.expiresAt : doc.keepUntil
  if (typeof end === 'number') emit(end, [doc.kind, doc._rev])
}`

/**
 * A text in hexadecimal, since CouchDB orders texts as a dictionary does and takes some for equal that are not. In the
 * indexes, `hex` does the same.
 *
 * @param width how many digits a character has: 2 for ASCII, else 4
 */
export const hexOf = (text: string, width: 2 | 4): string =>
  Array.from({ length: text.length }, (_, at) => text.charCodeAt(at).toString(16).padStart(width, '0')).join('')

const HEX = `var hex = function (text, width) {
    var digits = ''
    for (var at = 0; at < text.length; at++) digits += ('000' + text.charCodeAt(at).toString(16)).slice(-width)
    return digits
  }
  var named = doc._id.split(':')
  var app = typeof doc.app === 'string' ? hex(doc.app, 4) : ''`

/** By namespace, and within it for each application that has a name. */
const LIVING = `function (doc) {
  if (doc.kind !== 'session') return
  ${HEX}
  emit([named[1], '', doc.expiresAt], null)
  if (app) emit([named[1], app, doc.expiresAt], null)
}`

/** One line for each list that the session is in; within a list they are in the order of the keys. */
const LINES = `function (doc) {
  if (doc.kind !== 'session') return
  ${HEX}
  var order = hex(named[2], 2)
  var line = [doc.expiresAt, doc.seenAt, doc.app]
  emit([named[1], 'all', '', order], line)
  if (app) emit([named[1], 'app', app, order], line)
  if (doc.userHash) emit([named[1], 'user', doc.userHash, order], line)
}`

/** Where writes met that did not see each other, another leaf may be the one that counts: only a look can tell. */
const HEADERS = `function (doc) {
  if (doc.kind !== 'session') return
  ${HEX}
  var names = ${JSON.stringify(HEADER)}
  var header = {}
  for (var at = 0; at < names.length; at++) if (doc[names[at]] !== undefined) header[names[at]] = doc[names[at]]
  emit(hex(doc._id, 2), doc._conflicts ? 'in conflict' : header)
}`

export const DESIGN: Readonly<Record<string, unknown>> = {
  language: 'javascript',
  views: {
    /** What ends when, for `purge`. */
    ends: { map: ENDS, reduce: '_count' },
    /** How many sessions of a namespace live, and of an application in it, for `count`. */
    living: { map: LIVING, reduce: '_count' },
    /** Which sessions there are, of which user and application, and until when, for `list`: tombstones cost it nothing. */
    lines: { map: LINES },
    /** All of a session but its data, for a list without data. */
    headers: { map: HEADERS },
  },
}
