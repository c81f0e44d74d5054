import type { Target } from './target.js'
import { json, jsonLikeTarget, msgpack } from './targets/codecs.js'
import { connectionStrings, environment, options, serverLists } from './targets/configuration.js'
import { cookies, records, redisTokens } from './targets/cookies.js'
import { answers, documents, tokens } from './targets/couchdb.js'
import { envelope, sealedEnvelope } from './targets/envelope.js'
import { frames } from './targets/frames.js'
import { cursors, handles, ids } from './targets/ids.js'
import { messages, rows } from './targets/postgres.js'
import { redisRows } from './targets/redis.js'

/** One for each parser of what comes from outside: from a cache, a backend, a browser, an operator. */
export const TARGETS: readonly Target[] = [
  ...[envelope, sealedEnvelope],
  ...[msgpack, json, jsonLikeTarget],
  frames,
  ...[documents, answers, tokens],
  ...[rows, messages],
  redisRows,
  ...[cookies, records, redisTokens],
  ...[ids, handles, cursors],
  ...[environment, connectionStrings, serverLists, options],
]
