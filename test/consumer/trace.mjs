import { appendFileSync } from 'node:fs'
import { createRequire, register } from 'node:module'

register('./trace-loader.mjs', import.meta.url)

// What CommonJS modules require from each other passes the loader by, but stands in their cache.
process.on('exit', () => {
  const { cache } = createRequire(import.meta.url)
  appendFileSync(process.env.TRACE_FILE, Object.keys(cache).join('\n'))
})
