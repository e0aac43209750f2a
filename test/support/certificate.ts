/**
 * A certificate for localhost that signs itself, for a hundred years. Its key is public and protects nothing. Made with
 *   openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout key.pem -out cert.pem -days 36500 -subj /CN=localhost
 *     -addext 'subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1'
 */
export const CERTIFICATE = `-----BEGIN CERTIFICATE-----
MIIBrjCCAVSgAwIBAgIUK93RIogulxgbEXBoIZpP9+hluScwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyMjAxMjQ0MFoYDzIxMjYxMDI5
MDEyNDQwWjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAASrJcsmDHyMfr7sHYLmtKEBG0nQNgaZHKGOCMa1BnChwjLW3T4i8y+N
6O0v4mPkXJK58VCzuf/tG/rdc0F/TSKCo4GBMH8wHQYDVR0OBBYEFDNA9v1gb2CY
7yQFLBGqig4WB1oHMB8GA1UdIwQYMBaAFDNA9v1gb2CY7yQFLBGqig4WB1oHMA8G
A1UdEwEB/wQFMAMBAf8wLAYDVR0RBCUwI4IJbG9jYWxob3N0hwR/AAABhxAAAAAA
AAAAAAAAAAAAAAABMAoGCCqGSM49BAMCA0gAMEUCID5q9P7+vz/6Mfsc/KSMIMVd
ZgleDsKUNYbQ0iw+07xgAiEA0NPSfqVE9K8jB7w2OSL3RwRDSUhTgrDW93hEpFFE
Eog=
-----END CERTIFICATE-----
`

export const KEY = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgPnT3orTYFx5YGyZc
AWPyFSpm26BBTw7a6H75w1n2KGuhRANCAASrJcsmDHyMfr7sHYLmtKEBG0nQNgaZ
HKGOCMa1BnChwjLW3T4i8y+N6O0v4mPkXJK58VCzuf/tG/rdc0F/TSKC
-----END PRIVATE KEY-----
`

/** The key of another pair: openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:prime256v1 */
export const OTHER_KEY = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgloKs/9ww3Cs93oki
Cbb2SFvgiBoXeuWNFuJCEYlOFDehRANCAASaIyQyaF1SBPc9jCehITA4oBq+J3y7
BpmLuIe7s+a02tJwDcL2apTCscm+NztWVWqH8y9EMTYcdCkuFjjtZm9t
-----END PRIVATE KEY-----
`
