import {
  isRecord,
  ofCopies,
  ofDatabase,
  ofDatabaseNames,
  ofDocument,
  ofDropping,
  ofIndexCount,
  ofIndexRows,
  ofLeaves,
  ofMaking,
  ofManyDocuments,
  ofManyWrites,
  ofPutting,
  ofSecurity,
  ofSession,
  ofWrite,
  type Reader,
} from '../../../src/backends/couchdb/answers.js'
import {
  type Content,
  contentOf,
  copyOf,
  idOf,
  knownLeafIn,
  type Leaf,
  leafOf,
  leafOfHeader,
  movedOf,
  SESSIONS,
  tokenOf,
  tombstoneOf,
} from '../../../src/backends/couchdb/document.js'
import { contentOfUser, USER_RECORDS } from '../../../src/backends/couchdb/user-document.js'
import { SessionStoreError } from '../../../src/errors.js'
import type { Chance } from '../chance.js'
import { anyBytes, mutatedJson, SECRET } from '../mutate.js'
import { assertEqual, assertThat, Broken, targetOf } from '../target.js'
import { sessionSample, user } from './samples.js'

const revision = `3-${'a'.repeat(32)}`
const asJson = (value: unknown): Uint8Array => Buffer.from(JSON.stringify(value) ?? '')

const DOCUMENTS: readonly Content[] = [
  { _id: 's:x', _rev: revision, ...contentOf(sessionSample) },
  { _id: 's:x', _rev: revision, ...tombstoneOf('1111111111111111', 1, 2) },
  { _id: 's:x', _rev: revision, ...movedOf(5) },
  {
    _id: 'u:x',
    _rev: revision,
    ...contentOfUser(user, { epoch: 3, seats: [{ locator: { key: 'shop:k', bornMonth: '2606' }, takenAt: 5 }] }),
  },
]

/** Documents come to these parsers when they are records with a revision: `answers` sees to that. */
const documentOf = (chance: Chance): Content => {
  const document = mutatedJson(chance, chance.pick(DOCUMENTS))
  return {
    ...(isRecord(document) ? document : {}),
    _rev:
      chance.oneIn(3) && isRecord(document)
        ? String(document['_rev'] instanceof Object ? 'x' : document['_rev'])
        : revision,
  }
}

const CUT: Leaf = { kind: 'session', revision, session: { ...sessionSample, lineage: 'a1a2', version: 1.5 } }

type Read = Leaf | ReturnType<typeof USER_RECORDS.leafOf>

export const documents = targetOf<Content, Read>({
  name: 'couchdb-documents',
  make: documentOf,
  bytesOf: asJson,
  parse: (document) => {
    leafOfHeader(document)
    const asUser = USER_RECORDS.leafOf(document)
    USER_RECORDS.winnerOf([asUser, asUser])
    const leaf = leafOf(document)
    SESSIONS.winnerOf([leaf, leaf])
    return asUser.kind === 'user' ? asUser : leaf
  },
  check: (leaf) => {
    if (leaf.kind === 'unreadable') assertThat('an error that shows nothing', !leaf.error.message.includes(SECRET))
    if (leaf.kind === 'user') {
      const again = { _rev: leaf.revision, ...contentOfUser({ namespace: 'shop', userId: leaf.userId }, leaf.record) }
      assertEqual(
        'a record that was read and written',
        USER_RECORDS.leafOf(JSON.parse(JSON.stringify(again)) as Content),
        leaf,
      )
    }
    if (leaf.kind === 'tombstone' || leaf.kind === 'moved')
      assertThat('a moment that is one', Number.isFinite(leaf.keepUntil))
    if (leaf.kind !== 'session') return
    let content: Content
    try {
      content = contentOf(leaf.session)
    } catch (error) {
      // Half a surrogate pair, which is in no document of ours: who stores it is told so.
      if (error instanceof TypeError && error.message.endsWith('with half a surrogate pair')) return
      throw error
    }
    assertEqual('a session that was read and written', leafOf({ _rev: leaf.revision, ...content }), leaf)
    const copy = copyOf({ month: '2026-11', leaf })
    assertThat('a copy that lives', copy.state === 'live')
    if (copy.state !== 'live' || copy.token.length === 0) return
    const known = knownLeafIn(copy.token)
    assertThat(
      'a token that says what it was made of',
      known?.lineage === leaf.session.lineage && known.version === leaf.session.version,
    )
  },
  faults: {
    'accepts a field that is cut short': (parse) => (document) => {
      const leaf = parse(document)
      return leaf.kind === 'unreadable' ? CUT : leaf
    },
    'shows what it could not read': (parse) => (document) => {
      const leaf = parse(document)
      const error = new SessionStoreError('E_SESSION_FORMAT', JSON.stringify(document))
      return leaf.kind === 'unreadable' ? { ...leaf, error } : leaf
    },
  },
  cut: CUT,
})

const readersOf = (): readonly [status: number, body: unknown, read: Reader<{ readonly is: string }>][] => {
  const [document] = DOCUMENTS
  const id = idOf('x')
  const rows = { total_rows: 1, offset: 0, rows: [{ id, key: ['a', 1], value: [1, 2, ''] }] }
  return [
    [200, document, ofDocument(id)],
    [404, { error: 'not_found', reason: 'missing' }, ofDocument(id)],
    [404, { error: 'not_found', reason: 'Database does not exist.' }, ofDocument(id)],
    [200, [{ ok: document }, { missing: revision }], ofLeaves(id)],
    [200, { results: [{ id, docs: [{ ok: document }] }] }, ofManyDocuments([id])],
    [200, { results: [{ id, docs: [{ error: { error: 'not_found', reason: 'missing' } }] }] }, ofManyDocuments([id])],
    [201, { ok: true, id, rev: revision }, ofWrite(id)],
    [409, { error: 'conflict', reason: SECRET }, ofWrite(id)],
    [201, [{ ok: true, id, rev: revision }], ofManyWrites([id])],
    [202, [{ ok: true, id, rev: revision, accepted: true }], ofManyWrites([id])],
    [201, [{ id, error: 'forbidden', reason: SECRET }], ofManyWrites([id])],
    [200, rows, ofIndexRows],
    [200, { rows: [{ key: null, value: 3 }] }, ofIndexCount],
    [404, { error: 'not_found', reason: 'missing_named_view' }, ofIndexCount],
    [200, { db_name: 'shop', cluster: { n: 1 } }, ofDatabase('shop')],
    [200, { cluster: { n: 3 } }, ofCopies],
    [412, { error: 'file_exists' }, ofMaking],
    [200, { ok: true }, ofDropping],
    [201, { ok: true, id }, ofPutting],
    [200, { members: { names: [SECRET] } }, ofSecurity],
    [200, ['a', 'b'], ofDatabaseNames],
    [200, { ok: true, userCtx: { name: SECRET, roles: ['_admin'] } }, ofSession],
  ]
}
const READERS = readersOf()

interface Answered {
  readonly status: number
  readonly body: unknown
  readonly read: Reader<{ readonly is: string }>
}

export const answers = targetOf<Answered, { readonly is: string } | undefined>({
  name: 'couchdb-answers',
  make: (chance) => {
    const [status, body, read] = chance.pick(READERS)
    return { status: chance.oneIn(8) ? chance.pick(READERS)[0] : status, body: mutatedJson(chance, body), read }
  },
  bytesOf: ({ status, body }) => asJson([status, body]),
  parse: ({ status, body, read }) => read(status, body),
  check: (answer, { status, body, read }) => {
    if (answer !== undefined) assertThat('an answer of a known kind', typeof answer.is === 'string')
    assertEqual('an answer that is read again', read(status, JSON.parse(JSON.stringify(body ?? null))), answer)
    for (const leaf of leavesOf(answer))
      assertThat(
        'a document that was asked for, with a revision',
        leaf['_id'] === idOf('x') && typeof leaf['_rev'] === 'string',
      )
    if (answer?.is === 'written')
      assertThat('a revision', typeof (answer as { revision?: unknown }).revision === 'string')
  },
  cut: { is: 'document', document: { _id: 's:another', _rev: 7 } } as { readonly is: string },
  // Nothing here is refused by an error, so that one of the mistakes is in the value.
  refuses: (error) => error instanceof SessionStoreError,
  faults: {
    'accepts a field that is cut short': (parse) => (input) =>
      parse(input) ?? ({ is: 'written' } as { readonly is: string }),
    'shows what it could not read': (parse) => (input) => {
      const answer = parse(input)
      if (answer === undefined) throw new SessionStoreError('E_SESSION_UNAVAILABLE', JSON.stringify(input.body) ?? '')
      return answer
    },
  },
})

const leavesOf = (answer: unknown): readonly Content[] => {
  const { document, leaves } = (answer ?? {}) as {
    document?: Content
    leaves?: readonly Content[] | ReadonlyMap<string, readonly Content[]>
  }
  if (leaves instanceof Map) return [...leaves.values()].flat()
  return [...(document === undefined ? [] : [document]), ...((leaves as readonly Content[] | undefined) ?? [])]
}

const TOKENS = [Buffer.from(SECRET), tokenOf({ revision, month: '2026-11', lineage: 'a1a2a3a4a5a6a7a8', version: 7 })]

export const tokens = targetOf<Uint8Array, ReturnType<typeof knownLeafIn>>({
  name: 'backend-tokens',
  make: (chance) => anyBytes(chance, TOKENS),
  bytesOf: (bytes) => bytes,
  parse: (bytes) => {
    const known = knownLeafIn(bytes)
    if (known === undefined) throw new SessionStoreError('E_SESSION_FORMAT', 'It says nothing')
    return known
  },
  check: (known, bytes) => {
    if (known === undefined || !Number.isSafeInteger(known.version)) return
    if (!(bytes instanceof Uint8Array) || bytes.length !== 42) throw new Broken('a token of another size is read')
    const again = tokenOf(known)
    // Years beyond four digits, and revisions beyond fourteen, are none that this program writes.
    if (again.length > 0 && known.month.length === 7)
      assertEqual('a token that was read and written', Buffer.from(again), Buffer.from(bytes))
  },
  cut: { revision, month: '2026-11', lineage: 'a1a2a3a4a5a6a7a8', version: 7 },
})
