/**
 * What nonstick is tested with, for those who write a cache, a backend or a codec of their own: the contract
 * suites, and doubles whose clock and failures a test decides. None of it is meant for production.
 */
export * from './backend-contract.js'
export * from './codec-contract.js'
export * from './faulty-tier.js'
export * from './front-cache-contract.js'
export * from './movable-runtime.js'
export * from './scripted-memcached.js'
export * from './stored-session.js'
