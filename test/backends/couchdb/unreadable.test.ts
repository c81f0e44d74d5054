import { expect, test } from 'vitest'
import { ofDocument } from '../../../src/backends/couchdb/answers.js'
import { type Content, contentOf, leafOf } from '../../../src/backends/couchdb/document.js'
import { storedSession } from '../../../src/testing/stored-session.js'

/** What JSON can say, and no program can make a text of. */
const NO_TEXT = { toString: 0, valueOf: 0 }

test.each<[string, Content]>([
  ['a write id of which no text can be made', { writeIds: [NO_TEXT] }],
  ['a write id that is cut short', { writeIds: ['a1a2'] }],
  ['a lineage that is cut short', { lineage: 'a1a2' }],
  ['half a version', { version: 1.5 }],
  ['a codec that no byte can name', { codecId: -1 }],
  ['a moment without end', { expiresAt: Number.POSITIVE_INFINITY }],
])('a document with %s is one that this program cannot read', (_what, changes) => {
  const document = { _rev: '1-a', ...contentOf(storedSession()) }
  expect(leafOf(document).kind).toBe('session')
  expect(leafOf({ ...document, ...changes })).toMatchObject({ kind: 'unreadable', error: { code: 'E_SESSION_FORMAT' } })
})

test('a reason of which no text can be made is none of CouchDB’s', () => {
  expect(ofDocument('s:x')(404, { error: 'not_found', reason: 'missing' })).toEqual({ is: 'nothing' })
  expect(ofDocument('s:x')(404, { error: 'not_found', reason: NO_TEXT })).toBeUndefined()
})
