/** For `node --import`: what the documented programs import as `nonstick` is this checkout's sources, not a build. */
import { register } from 'node:module'

register(
  `data:text/javascript,${encodeURIComponent(`
    import { readFileSync } from 'node:fs'
    const root = new URL(${JSON.stringify(new URL('../..', import.meta.url).href)})
    const { exports } = JSON.parse(readFileSync(new URL('package.json', root), 'utf8'))
    export const resolve = (specifier, context, next) => {
      if (specifier !== 'nonstick' && !specifier.startsWith('nonstick/')) return next(specifier, context)
      const built = exports[specifier.replace('nonstick', '.')].import.default
      return next(new URL(built.replace('/dist/', '/src/').replace(/[.]js$/, '.ts'), root).href, context)
    }
  `)}`,
)
