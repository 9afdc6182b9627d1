// The kinds of token that --auth-token asks for, and the signed one: a JSON web token with the
// claims username, revision (of the auth store) and exp. Whoever holds the key may make tokens, and
// whoever holds the public half may verify them.
//
//	simple
//	jwt,sign-method=RS256,pub-key=FILE,priv-key=FILE,ttl=10m
//	(empty: no tokens)
package server

import (
	"crypto"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"go.uber.org/zap"
	"golang.org/x/crypto/bcrypt"

	"github.com/detcd/detcd/kv"
)

// The reasons why tokens cannot be had as --auth-token asks for; the texts are etcd's.
var (
	// ErrAuthOptions says that the option has no meaning.
	ErrAuthOptions = errors.New("auth: invalid auth options")
	// ErrAuthKeyMissing says that no key was given that fits the method.
	ErrAuthKeyMissing = errors.New("auth: missing key data")
	// ErrAuthKeyMismatch says that the two keys are no pair.
	ErrAuthKeyMismatch = errors.New("auth: public and private keys don't match")

	errVerifyOnly = errors.New("auth: token signing attempted with verify-only key")
)

const defaultSignedTTL = 5 * time.Minute

// tokenMaker makes and verifies tokens. It never changes.
type tokenMaker struct {
	kind   kv.TokenKind
	method jwt.SigningMethod
	secret any // signs; nil when tokens can only be verified
	public any // verifies
	ttl    time.Duration
}

// newTokenMaker reads --auth-token and the keys that it names.
func newTokenMaker(log *zap.Logger, spec string) (*tokenMaker, error) {
	words := strings.Split(spec, ",")
	options := map[string]string{}
	for _, w := range words[1:] {
		name, value, ok := strings.Cut(w, "=")
		if _, twice := options[name]; !ok || twice || strings.Contains(value, "=") {
			return nil, ErrAuthOptions
		}
		options[name] = value
	}
	switch words[0] {
	case "simple":
		log.Warn("simple token is not cryptographically signed")
		return &tokenMaker{kind: kv.SimpleTokens}, nil
	case "":
		return &tokenMaker{kind: kv.NoTokens}, nil
	case "jwt":
		return newSignedTokens(log, options)
	}
	log.Warn("unknown token type", zap.String("type", words[0]))
	return nil, ErrAuthOptions
}

func newSignedTokens(log *zap.Logger, options map[string]string) (*tokenMaker, error) {
	t := &tokenMaker{kind: kv.SignedTokens, ttl: defaultSignedTTL}
	var public, private []byte
	for name, value := range options {
		var err error
		switch name {
		case "sign-method":
		case "ttl":
			if value != "" {
				t.ttl, err = time.ParseDuration(value)
			}
		case "pub-key":
			public, err = readKey(value)
		case "priv-key":
			private, err = readKey(value)
		default:
			log.Warn("unknown JWT options", zap.Strings("keys", []string{name}))
		}
		if err != nil {
			log.Error("problem loading JWT options", zap.Error(err))
			return nil, ErrAuthOptions
		}
	}
	t.method = jwt.GetSigningMethod(options["sign-method"])
	if t.method == nil {
		log.Error("problem loading JWT options",
			zap.String("error", "auth: invalid auth signature method"))
		return nil, ErrAuthOptions
	}
	return t, t.parseKeys(public, private)
}

func readKey(file string) ([]byte, error) {
	if file == "" {
		return nil, nil
	}
	return os.ReadFile(file)
}

// keyPair is what all kinds of private key have beside the signing.
type keyPair interface {
	Public() crypto.PublicKey
}

// parseKeys reads the keys as the method asks for. With a private key its public half verifies.
func (t *tokenMaker) parseKeys(public, private []byte) (err error) {
	if _, symmetric := t.method.(*jwt.SigningMethodHMAC); symmetric {
		if len(private) == 0 {
			return ErrAuthKeyMissing
		}
		t.secret, t.public = private, private
		return nil
	}
	if len(private) > 0 {
		if t.secret, err = t.parsePrivate(private); err != nil {
			return err
		}
		pair, ok := t.secret.(keyPair)
		if !ok {
			return ErrAuthKeyMissing
		}
		t.public = pair.Public()
	}
	if len(public) > 0 {
		given, err := t.parsePublic(public)
		if err != nil {
			return err
		}
		same, ok := t.public.(interface{ Equal(crypto.PublicKey) bool })
		if ok && !same.Equal(given) {
			return ErrAuthKeyMismatch
		}
		t.public = given
	}
	if t.public == nil {
		return ErrAuthKeyMissing
	}
	return nil
}

func (t *tokenMaker) parsePrivate(pem []byte) (any, error) {
	switch t.method.(type) {
	case *jwt.SigningMethodRSA, *jwt.SigningMethodRSAPSS:
		return jwt.ParseRSAPrivateKeyFromPEM(pem)
	case *jwt.SigningMethodECDSA:
		return jwt.ParseECPrivateKeyFromPEM(pem)
	case *jwt.SigningMethodEd25519:
		return jwt.ParseEdPrivateKeyFromPEM(pem)
	}
	return nil, fmt.Errorf("unsupported signing method: %T", t.method)
}

func (t *tokenMaker) parsePublic(pem []byte) (any, error) {
	switch t.method.(type) {
	case *jwt.SigningMethodRSA, *jwt.SigningMethodRSAPSS:
		return jwt.ParseRSAPublicKeyFromPEM(pem)
	case *jwt.SigningMethodECDSA:
		return jwt.ParseECPublicKeyFromPEM(pem)
	case *jwt.SigningMethodEd25519:
		return jwt.ParseEdPublicKeyFromPEM(pem)
	}
	return nil, fmt.Errorf("unsupported signing method: %T", t.method)
}

type claims struct {
	User     string `json:"username"`
	Revision uint64 `json:"revision"`
	jwt.RegisteredClaims
}

// sign makes a token for a user as known at an auth revision.
func (t *tokenMaker) sign(user string, revision uint64) (string, error) {
	if t.secret == nil {
		return "", errVerifyOnly
	}
	return jwt.NewWithClaims(t.method, claims{User: user, Revision: revision,
		RegisteredClaims: jwt.RegisteredClaims{
			ExpiresAt: jwt.NewNumericDate(time.Now().Add(t.ttl)),
		}}).SignedString(t.secret)
}

// verify says who shows a token. One that is not good stays a token, which the node does not know.
func (t *tokenMaker) verify(token string) *kv.Identity {
	var c claims
	_, err := jwt.ParseWithClaims(token, &c, func(*jwt.Token) (any, error) { return t.public, nil },
		jwt.WithValidMethods([]string{t.method.Alg()}))
	if err != nil || c.User == "" || c.Revision == 0 {
		return &kv.Identity{Token: noToken}
	}
	return &kv.Identity{User: c.User, Revision: c.Revision}
}

// bcryptCost is the cost of hashing a password; one that is impossible is replaced by the default.
func (c *Config) bcryptCost(log *zap.Logger) int {
	if c.BcryptCost >= uint(bcrypt.MinCost) && c.BcryptCost <= uint(bcrypt.MaxCost) {
		return int(c.BcryptCost)
	}
	log.Warn("use default bcrypt cost instead of the invalid given cost",
		zap.Int("min-cost", bcrypt.MinCost), zap.Int("max-cost", bcrypt.MaxCost),
		zap.Int("default-cost", bcrypt.DefaultCost), zap.Uint("given-cost", c.BcryptCost))
	return bcrypt.DefaultCost
}
