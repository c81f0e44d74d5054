import type { Content, Revision } from './document.js'

/**
 * Reads one kind of answer; `undefined` for anything that CouchDB does not say in reply to its request. Whatever stands
 * between us and the server, or in its place, can answer too: only what is in CouchDB's own words, and names what was
 * asked about, is believed.
 */
export type Reader<Answer> = (status: number, body: unknown) => Answer | undefined

/** The database that was asked about is not there. */
export interface NoDatabase {
  readonly is: 'no-database'
}

/** The database is there, and the document is not in it. */
export interface Nothing {
  readonly is: 'nothing'
}

/** What CouchDB gives as the reason where a database is missing: since 2.0, and before. */
const NO_DATABASE = ['Database does not exist.', 'no_db_file']

/** The same for a document. */
const NO_DOCUMENT = ['missing', 'deleted']

/** The same for a view: its design document is missing, or holds no view of that name. */
const NO_VIEW = [...NO_DOCUMENT, 'missing_named_view']

export const saysNoDatabase: Reader<NoDatabase> = (status, body) =>
  isNotFound(status, body, NO_DATABASE) ? { is: 'no-database' } : undefined

/** A document that was asked for by its id. */
export const ofDocument =
  (id: string): Reader<{ readonly is: 'document'; readonly document: Content } | Nothing | NoDatabase> =>
  (status, body) =>
    status === 200 && isDocument(body, id) ? { is: 'document', document: body } : absence(status, body)

/** All leaves of one document, the deleted ones among them. */
export const ofLeaves =
  (id: string): Reader<{ readonly is: 'leaves'; readonly leaves: readonly Content[] } | Nothing | NoDatabase> =>
  (status, body) => {
    if (status !== 200) return absence(status, body)
    const leaves = listOf(body)?.map((entry) => leafIn(entry, id))
    return leaves === undefined || leaves.includes(undefined) ? undefined : { is: 'leaves', leaves: found(leaves) }
  }

/** The leaves of many documents; none for one that is not there. */
export const ofManyDocuments =
  (
    ids: readonly string[],
  ): Reader<{ readonly is: 'documents'; readonly leaves: ReadonlyMap<string, readonly Content[]> } | NoDatabase> =>
  (status, body) => {
    if (status !== 200 || !isRecord(body)) return saysNoDatabase(status, body)
    const results = new Map(listOf(body['results'])?.map(({ id, docs }) => [id, listOf(docs)]))
    const leaves = new Map<string, readonly Content[]>()
    for (const id of ids) {
      const those = results.get(id)?.map((entry) => (isMissing(entry['error']) ? null : leafIn(entry, id)))
      if (those === undefined || those.length === 0 || those.includes(undefined)) return undefined
      leaves.set(id, found(those))
    }
    return { is: 'documents', leaves }
  }

export type WriteAnswer =
  | { readonly is: 'written'; readonly revision: Revision }
  /** Another leaf than the one that was named stands there. */
  | { readonly is: 'conflict' }

/** One document that was written. A 202 says that too few nodes have it, which is no acknowledgement. */
export const ofWrite =
  (id: string): Reader<WriteAnswer | NoDatabase> =>
  (status, body) => {
    if (status === 409 && isRecord(body) && body['error'] === 'conflict') return { is: 'conflict' }
    if (status !== 201) return saysNoDatabase(status, body)
    return isDone(body) && typeof body['rev'] === 'string' && (body['id'] ?? id) === id
      ? { is: 'written', revision: body['rev'] }
      : undefined
  }

/** What became of one of many documents. */
export type RowAnswer =
  | WriteAnswer
  /** The server would not have it; a `validate_doc_update` function, perhaps. */
  | { readonly is: 'refused' }
  /** Too few nodes have it. */
  | { readonly is: 'accepted' }
  /** The server failed over it. */
  | { readonly is: 'failed' }

/** Many documents that were written together: one row each, in the order of `ids`. */
export const ofManyWrites =
  (ids: readonly string[]): Reader<{ readonly is: 'rows'; readonly rows: readonly RowAnswer[] } | NoDatabase> =>
  (status, body) => {
    if (status !== 201 && status !== 202) return saysNoDatabase(status, body)
    const rows = listOf(body)
    if (rows?.length !== ids.length) return undefined
    // With 202 at least one is short of its quorum, and says so itself. If none does, any of them can be the one.
    const isTold = status === 201 || rows.some(({ accepted }) => accepted === true)
    const answers = rows.map((row, at) => (row['id'] === ids[at] ? rowIn(row, isTold) : undefined))
    return answers.includes(undefined) ? undefined : { is: 'rows', rows: found(answers) }
  }

const rowIn = ({ error, rev: revision, accepted }: Content, isTold: boolean): RowAnswer | undefined => {
  if (error === undefined) {
    if (typeof revision !== 'string') return undefined
    return isTold && accepted !== true ? { is: 'written', revision } : { is: 'accepted' }
  }
  if (error === 'conflict') return { is: 'conflict' }
  return { is: error === 'forbidden' || error === 'unauthorized' ? 'refused' : 'failed' }
}

export interface IndexRow {
  readonly id: string
  readonly key: unknown
  readonly value: unknown
}

/** The view that was asked is not there. */
export interface NoIndex {
  readonly is: 'no-index'
}

/** Rows of a view. */
export const ofIndexRows: Reader<{ readonly is: 'rows'; readonly rows: readonly IndexRow[] } | NoIndex | NoDatabase> = (
  status,
  body,
) => {
  const rows = rowsIn(status, body)
  if (rows === undefined) return noIndex(status, body)
  if (rows.some(({ id }) => typeof id !== 'string')) return undefined
  return { is: 'rows', rows: rows.map(({ id, key, value }) => ({ id: String(id), key, value })) }
}

/** How many rows a view counts; it gives no row for none. */
export const ofIndexCount: Reader<{ readonly is: 'count'; readonly count: number } | NoIndex | NoDatabase> = (
  status,
  body,
) => {
  const rows = rowsIn(status, body)
  if (rows === undefined) return noIndex(status, body)
  const [count = 0, ...others] = rows.map(({ value }) => value)
  return typeof count === 'number' && others.length === 0 ? { is: 'count', count } : undefined
}

const rowsIn = (status: number, body: unknown): readonly Content[] | undefined =>
  status === 200 && isRecord(body) ? listOf(body['rows']) : undefined

const noIndex: Reader<NoIndex | NoDatabase> = (status, body) =>
  isNotFound(status, body, NO_VIEW) ? { is: 'no-index' } : saysNoDatabase(status, body)

export interface DatabaseThere {
  readonly is: 'database'
  /** How many copies of each document the cluster keeps, its `n`. */
  readonly copies: number
}

/** What a database says of itself, its own name first. */
export const ofDatabase =
  (name: string): Reader<DatabaseThere | NoDatabase> =>
  (status, body) =>
    isRecord(body) && body['db_name'] === name ? ofCopies(status, body) : saysNoDatabase(status, body)

/** How many copies a database keeps that this program has made a moment before, so that its name is not in question. */
export const ofCopies: Reader<DatabaseThere> = (status, body) => {
  if (status !== 200 || !isRecord(body)) return undefined
  const { n } = isRecord(body['cluster']) ? body['cluster'] : {}
  // A server that says nothing of a cluster is one by itself.
  return { is: 'database', copies: typeof n === 'number' && n > 1 ? n : 1 }
}

/** A database that was to be made; the answer about a document, which a wrong path in the URL leads to, is another. */
export const ofMaking: Reader<{ readonly is: 'made' } | { readonly is: 'exists' }> = (status, body) => {
  if (status === 412 && isRecord(body) && body['error'] === 'file_exists') return { is: 'exists' }
  return (status === 201 || status === 202) && isDone(body) && body['id'] === undefined ? { is: 'made' } : undefined
}

export const ofDropping: Reader<{ readonly is: 'dropped' } | NoDatabase> = (status, body) =>
  (status === 200 || status === 202) && isDone(body) ? { is: 'dropped' } : saysNoDatabase(status, body)

/** A setting, or a document that may be there already, whoever put it. */
export const ofPutting: Reader<{ readonly is: 'put' } | { readonly is: 'conflict' }> = (status, body) => {
  if (status === 409 && isRecord(body) && body['error'] === 'conflict') return { is: 'conflict' }
  return status >= 200 && status <= 202 && isDone(body) ? { is: 'put' } : undefined
}

/** Who may read and write a database. */
export const ofSecurity: Reader<{ readonly is: 'security'; readonly members: readonly unknown[] }> = (status, body) => {
  if (status !== 200 || !isRecord(body) || 'error' in body) return undefined
  const { names } = isRecord(body['members']) ? body['members'] : {}
  return { is: 'security', members: Array.isArray(names) ? names : [] }
}

/** The server's databases, for whom may see them. */
export const ofDatabaseNames: Reader<
  { readonly is: 'names'; readonly names: readonly string[] } | { readonly is: 'forbidden' }
> = (status, body) => {
  if (status === 200 && Array.isArray(body) && body.every((name) => typeof name === 'string'))
    return { is: 'names', names: body }
  return (status === 401 || status === 403) && isRecord(body) && typeof body['error'] === 'string'
    ? { is: 'forbidden' }
    : undefined
}

/** Whom the server takes us for. No other path of it gives this answer, so that it proves the URL as well. */
export const ofSession: Reader<{ readonly is: 'session'; readonly isAdministrator: boolean }> = (status, body) => {
  if (status !== 200 || !isDone(body) || !isRecord(body['userCtx'])) return undefined
  const { roles } = body['userCtx']
  return Array.isArray(roles) ? { is: 'session', isAdministrator: roles.includes('_admin') } : undefined
}

export const isDone = (body: unknown): body is Content => isRecord(body) && body['ok'] === true

export const isRecord = (value: unknown): value is Content =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const listOf = (value: unknown): readonly Content[] | undefined =>
  Array.isArray(value) && value.every(isRecord) ? value : undefined

const isDocument = (value: unknown, id: string): value is Content =>
  isRecord(value) && value['_id'] === id && typeof value['_rev'] === 'string'

/** `null` for a leaf that the server says it lacks. */
const leafIn = ({ ok, missing }: Content, id: string): Content | null | undefined => {
  if (isDocument(ok, id)) return ok
  return ok === undefined && typeof missing === 'string' ? null : undefined
}

const found = <Value>(values: readonly (Value | null | undefined)[]): readonly Value[] =>
  values.filter((value) => value !== undefined && value !== null)

const isMissing = (error: unknown): boolean => isRecord(error) && isNotFound(404, error, NO_DOCUMENT)

const isNotFound = (status: number, body: unknown, reasons: readonly string[]): boolean =>
  status === 404 &&
  isRecord(body) &&
  body['error'] === 'not_found' &&
  typeof body['reason'] === 'string' &&
  reasons.includes(body['reason'])

const absence: Reader<Nothing | NoDatabase> = (status, body) =>
  isNotFound(status, body, NO_DOCUMENT) ? { is: 'nothing' } : saysNoDatabase(status, body)
