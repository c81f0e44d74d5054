import { DESIGN, DESIGN_ID } from '../../backends/couchdb/design.js'
import { candidateMonths, monthAhead } from '../../backends/couchdb/months.js'
import { resolveCouchdbOptions } from '../../backends/couchdb/options.js'
import type { FromEnvironment } from '../../environment/read.js'
import { runtimeOf } from '../../runtime.js'
import { resolveOptions, type StoreOptions } from '../../store/options.js'

export interface CouchdbScript {
  /** Requests for sh and curl that make the databases; the URL, which holds a password, is a variable in it. */
  readonly script: string
  readonly databases: readonly string[]
}

/** What `setUp()` of a CouchDB makes at this moment, on paper. */
export const couchdbScript = (read: FromEnvironment, options: StoreOptions<Record<string, unknown>>): CouchdbScript => {
  const { absoluteTtlMs } = resolveOptions(options)
  const url = read.backend?.kind === 'couchdb' ? read.backend.urls : []
  const resolved = resolveCouchdbOptions({ url, absoluteTtlMs, ...read.options.couchdb })
  const now = runtimeOf(options.runtime).now()
  const ahead = monthAhead(now)
  const months = new Set([...(ahead === undefined ? [] : [ahead]), ...candidateMonths(now, resolved)])
  const databases = [...months].map((month) => resolved.names.of(month)).reverse()
  const security = { admins: { names: [], roles: ['_admin'] }, members: { names: resolved.members, roles: ['_admin'] } }
  const lines = databases.flatMap((name) => [
    put(`${name}?n=${resolved.replicas}`),
    ...(resolved.members.length === 0 ? [] : [put(`${name}/_security`, security)]),
    put(`${name}/_revs_limit`, 50),
    put(`${name}/${DESIGN_ID}`, DESIGN),
  ])
  return { databases, script: `${[...HEAD, ...lines].join('\n')}\n` }
}

const HEAD = [
  '#!/bin/sh',
  '# The databases of nonstick in CouchDB. Run it as a server administrator, once a month:',
  '#   COUCHDB=https://admin:password@couch.example.net:6984 sh this-script',
  '# What is there already answers with an error, and stays.',
  ': "$' + '{COUCHDB:?the URL of the server, with an administrator in it}"',
]

const put = (path: string, body?: unknown): string => {
  const data = body === undefined ? '' : ` -H 'Content-Type: application/json' --data '${quoted(JSON.stringify(body))}'`
  return `curl -sS -X PUT "$COUCHDB/"'${quoted(path)}'${data}`
}

const quoted = (text: string): string => text.replaceAll("'", `'"'"'`)
